"""Everything a run changes while it trains: what a checkpoint must hold for an exact resume."""

from dataclasses import dataclass, field
from typing import Literal, Self

import torch
from torch import Tensor, nn

from ml.catalog import RecipeConfig
from ml.data.sampler import IndexSampler
from ml.ema import Ema
from ml.networks.build import build_discriminator, build_generator, place
from ml.networks.spec import (
    DcganDiscriminatorSpec,
    DcganGeneratorSpec,
    MlpDiscriminatorSpec,
    MlpGeneratorSpec,
)
from ml.seeds import random_stream, stream_seed

Precision = Literal["fp32", "bf16"]

_ADAM_SLOTS = ("exp_avg", "exp_avg_sq")


@dataclass
class TrainingState:
    """Both players, their optimisers, the average, every random stream, and the counters.

    Attributes:
        generator: trained by `optimizer_generator`.
        discriminator: trained by `optimizer_discriminator`.
        ema: average of the generator.
        sampler: order of the real images.
        noise: stream of z.
        augmentation: stream of augmentation and flips.
        device: where the networks are; random streams live on the CPU.
        precision: of the network passes, fixed for the whole run.
        images_seen: real images shown so far.
        seconds: training time so far, over all parts of the run.
    """

    generator: nn.Module
    discriminator: nn.Module
    ema: Ema
    optimizer_generator: torch.optim.Adam
    optimizer_discriminator: torch.optim.Adam
    sampler: IndexSampler
    noise: torch.Generator
    augmentation: torch.Generator
    device: torch.device
    precision: Precision = "fp32"
    images_seen: int = 0
    seconds: float = 0.0
    _streams: dict[str, torch.Generator] = field(init=False)

    def __post_init__(self) -> None:
        self._streams = {"noise": self.noise, "augmentation": self.augmentation}

    @classmethod
    def fresh(
        cls,
        config: RecipeConfig,
        generator_spec: MlpGeneratorSpec | DcganGeneratorSpec,
        discriminator_spec: MlpDiscriminatorSpec | DcganDiscriminatorSpec,
        *,
        image_count: int,
        device: torch.device,
    ) -> Self:
        """The state before the first step; depends on its arguments alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, "weights"))
            generator = build_generator(generator_spec)
            discriminator = build_discriminator(discriminator_spec)
        place(generator, device)
        place(discriminator, device)
        return cls(
            generator=generator,
            discriminator=discriminator,
            ema=Ema(generator, halflife_kimg=config.ema_halflife_kimg),
            optimizer_generator=_adam(generator, config.learning_rate_generator, config),
            optimizer_discriminator=_adam(discriminator, config.learning_rate_discriminator, config),
            sampler=IndexSampler(image_count, seed=stream_seed(config.seed, "sampler")),
            noise=random_stream(config.seed, "noise"),
            augmentation=random_stream(config.seed, "augmentation"),
            device=device,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by name, contiguous and on the CPU."""
        named: dict[str, Tensor] = {}
        for player, module in self._modules().items():
            named |= {f"{player}.{name}": value for name, value in module.state_dict().items()}
        for player, (module, optimizer) in self._players().items():
            named |= _optimizer_tensors(f"optimizer_{player}", module, optimizer)
        named |= {f"sampler.{name}": value for name, value in self.sampler.state().items()}
        named |= {f"rng.{name}": stream.get_state() for name, stream in self._streams.items()}
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over the tensors of another state of the same shape (names and shapes already checked)."""
        for player, module in self._modules().items():
            module.load_state_dict(_below(player, tensors))
        for player, (module, optimizer) in self._players().items():
            _restore_optimizer(optimizer, module, _below(f"optimizer_{player}", tensors))
        self.sampler.restore(_below("sampler", tensors))
        for name, stream in self._streams.items():
            stream.set_state(tensors[f"rng.{name}"])

    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "ema": self.ema.module}

    def _players(self) -> dict[str, tuple[nn.Module, torch.optim.Adam]]:
        return {
            "generator": (self.generator, self.optimizer_generator),
            "discriminator": (self.discriminator, self.optimizer_discriminator),
        }


def _adam(module: nn.Module, learning_rate: float, config: RecipeConfig) -> torch.optim.Adam:
    betas = (config.adam_beta1, config.adam_beta2)
    return torch.optim.Adam(module.parameters(), lr=learning_rate, betas=betas, fused=True)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    head = prefix + "."
    return {name.removeprefix(head): value for name, value in tensors.items() if name.startswith(head)}


def _optimizer_tensors(prefix: str, module: nn.Module, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Adam's moments by parameter name. Before the first step they are zero, as Adam itself starts them."""
    named: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        state = optimizer.state.get(parameter, {})
        named[f"{prefix}.{name}.step"] = state.get("step", torch.zeros((), dtype=torch.float32))
        for slot in _ADAM_SLOTS:
            named[f"{prefix}.{name}.{slot}"] = state.get(slot, torch.zeros_like(parameter))
    return named


def _restore_optimizer(optimizer: torch.optim.Adam, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, parameter in module.named_parameters():
        state = optimizer.state[parameter]
        state["step"] = tensors[f"{name}.step"].clone().to(parameter.device)
        for slot in _ADAM_SLOTS:
            # The fused update walks raw memory: moments must have the strides of their parameter.
            state[slot] = torch.empty_like(parameter, requires_grad=False)
            state[slot].copy_(tensors[f"{name}.{slot}"])
