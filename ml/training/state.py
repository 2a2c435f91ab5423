"""Everything a run changes while it trains: what a checkpoint must hold for an exact resume."""

from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from ml.catalog import GanConfig, RecipeConfig
from ml.data.sampler import IndexSampler
from ml.distributed import ALONE, Crew
from ml.networks.build import build_discriminator, build_encoder, build_generator, place
from ml.networks.discriminator import Discriminator
from ml.networks.encoder import Encoder
from ml.networks.spec import DiscriminatorSpec, EncoderSpec, GeneratorSpec
from ml.optimizers import PlainAdam
from ml.seeds import random_stream, stream_seed
from ml.training.adaptive import AdaptiveAugmentation
from ml.training.best import BestSnapshot
from ml.training.ema import Ema

Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_ADAM_SLOTS = ("exp_avg", "exp_avg_sq")


@dataclass
class HealthCounters:
    """What the health checks remember from one to the next.

    Attributes:
        rollbacks: times the run went back to its last good state.
        saturated: checks in a row that found the discriminator sure of everything.
        collapsed: checks in a row that found the samples all alike.
        good_images_seen: where the last good state was taken.
    """

    rollbacks: int = 0
    saturated: int = 0
    collapsed: int = 0
    good_images_seen: int = 0

    def tensor(self) -> Tensor:
        """As a tensor, for a training state."""
        return torch.tensor([getattr(self, name) for name in self.__dataclass_fields__])

    def restore(self, values: Tensor) -> None:
        """Take over the values of `tensor`."""
        for name, value in zip(self.__dataclass_fields__, values.tolist(), strict=True):
            setattr(self, name, value)


@dataclass
class TrainingState:
    """The players, their optimisers, the average, every random stream, and the counters.

    Attributes:
        generator: trained by `optimizer_generator`.
        discriminator: trained by `optimizer_discriminator`; None in recipes without an adversary.
        encoder: trained by `optimizer_encoder`; None outside the autoencoders.
        ema: average of the generator.
        sampler: order of the real images.
        noise: stream of z.
        augmentation: stream of augmentation, flips and dropout.
        penalty: stream of the points at which penalties look.
        adaptive: how often images are augmented, and what that follows.
        device: where the networks are; random streams live on the CPU.
        crew: the processes that share the work; not part of what is stored.
        good: tensors of the players when they were last found in good health.
        keeps_good: whether `tensors` includes `good`, which an exact resume needs.
        health: what the health checks remember.
        best: the best snapshot so far.
        keeps_best: whether `tensors` includes it, which measuring snapshots needs.
        precision: of the network passes, fixed for the whole run.
        images_seen: real images shown so far.
        seconds: training time so far, over all parts of the run.
    """

    generator: nn.Module
    discriminator: Discriminator | None
    encoder: Encoder | None
    ema: Ema
    optimizer_generator: torch.optim.Adam
    optimizer_discriminator: torch.optim.Adam | None
    optimizer_encoder: torch.optim.Adam | None
    sampler: IndexSampler
    noise: torch.Generator
    augmentation: torch.Generator
    penalty: torch.Generator
    adaptive: AdaptiveAugmentation
    device: torch.device
    keeps_good: bool = False
    keeps_best: bool = False
    precision: Precision = "fp32"
    images_seen: int = 0
    seconds: float = 0.0
    crew: Crew = ALONE
    health: HealthCounters = field(default_factory=HealthCounters)
    best: BestSnapshot = field(default_factory=BestSnapshot)
    good: dict[str, Tensor] = field(init=False)
    _streams: dict[str, torch.Generator] = field(init=False)

    def __post_init__(self) -> None:
        self._streams = {"noise": self.noise, "augmentation": self.augmentation, "penalty": self.penalty}
        if self.discriminator is not None:
            self.discriminator.mask_rng = self.augmentation
        self.remember_good()
        if self.keeps_best:
            self.best.weights = {
                name: value.detach().clone() for name, value in self.ema.module.state_dict().items()
            }

    @classmethod
    def fresh(
        cls,
        config: RecipeConfig,
        generator_spec: GeneratorSpec,
        discriminator_spec: DiscriminatorSpec | None,
        encoder_spec: EncoderSpec | None = None,
        *,
        image_count: int,
        device: torch.device,
    ) -> Self:
        """The state before the first step; depends on its arguments alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, "weights"))
            generator = build_generator(generator_spec)
            discriminator = build_discriminator(discriminator_spec) if discriminator_spec else None
            encoder = build_encoder(encoder_spec) if encoder_spec else None
        return cls.around(config, generator, discriminator, encoder, image_count=image_count, device=device)

    @classmethod
    def around(
        cls,
        config: RecipeConfig,
        generator: nn.Module,
        discriminator: Discriminator | None,
        encoder: Encoder | None = None,
        *,
        image_count: int,
        device: torch.device,
    ) -> Self:
        """The state before the first step of networks that were made elsewhere."""
        for module in (generator, discriminator, encoder):
            if module is not None:
                place(module, device)
        rate_discriminator = config.learning_rate_discriminator if isinstance(config, GanConfig) else 0.0
        return cls(
            generator=generator,
            discriminator=discriminator,
            encoder=encoder,
            ema=Ema(generator, halflife_kimg=config.ema_halflife_kimg),
            optimizer_generator=_adam(generator, config.learning_rate_generator, config),
            optimizer_discriminator=_adam(discriminator, rate_discriminator, config)
            if discriminator is not None
            else None,
            optimizer_encoder=_adam(encoder, config.learning_rate_generator, config)
            if encoder is not None
            else None,
            sampler=IndexSampler(image_count, seed=stream_seed(config.seed, "sampler")),
            noise=random_stream(config.seed, "noise"),
            augmentation=random_stream(config.seed, "augmentation"),
            penalty=random_stream(config.seed, "penalty"),
            adaptive=AdaptiveAugmentation.of(config),
            device=device,
            keeps_good=config.deterministic and config.max_rollbacks > 0,
            keeps_best=config.kid_kimg > 0,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by name, contiguous and on the CPU."""
        named = self._player_tensors()
        named |= {f"sampler.{name}": value for name, value in self.sampler.state().items()}
        named |= {f"rng.{name}": stream.get_state() for name, stream in self._streams.items()}
        named["health.counters"] = self.health.tensor()
        if self.adaptive.is_adaptive:
            named["augmentation.adaptive"] = self.adaptive.tensor()
        if self.keeps_good:
            named |= {f"good.{name}": value for name, value in self.good.items()}
        if self.keeps_best:
            named |= {f"best.{name}": value for name, value in self.best.tensors().items()}
        return {name: value.detach().cpu().contiguous() for name, value in named.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over the tensors of another state of the same shape (names and shapes already checked)."""
        self._restore_players(tensors)
        self.sampler.restore(_below("sampler", tensors))
        for name, stream in self._streams.items():
            stream.set_state(tensors[f"rng.{name}"])
        self.health.restore(tensors["health.counters"])
        if self.adaptive.is_adaptive:
            self.adaptive.restore(tensors["augmentation.adaptive"])
        if self.keeps_good:
            self.good = _below("good", tensors)
        else:
            self.remember_good()
        if self.keeps_best:
            self.best.restore(_below("best", tensors))

    def remember_good(self) -> None:
        """Keep a copy of the players and their optimisers as they are now."""
        self.good = {name: value.detach().clone() for name, value in self._player_tensors().items()}

    def roll_back(self, seed: int) -> None:
        """Return to the last good players, and go on from there with other random numbers.

        Images seen stay seen: budgets, schedules and file names only ever move forward.
        """
        self._restore_players(self.good)
        self.health.rollbacks += 1
        self.health.saturated = self.health.collapsed = 0
        again = f"after rollback {self.health.rollbacks}"
        for name, stream in self._streams.items():
            stream.manual_seed(stream_seed(seed, f"{name} {again}"))
        self.sampler.reshuffle(seed=stream_seed(seed, f"sampler {again}"))

    def players(self) -> dict[str, tuple[nn.Module, torch.optim.Adam]]:
        """The networks that learn, each with its optimiser."""
        named = {
            "generator": (self.generator, self.optimizer_generator),
            "discriminator": (self.discriminator, self.optimizer_discriminator),
            "encoder": (self.encoder, self.optimizer_encoder),
        }
        return {
            name: (module, optimizer)
            for name, (module, optimizer) in named.items()
            if module is not None and optimizer is not None
        }

    def _player_tensors(self) -> dict[str, Tensor]:
        named: dict[str, Tensor] = {}
        for player, (module, optimizer) in self.players().items():
            named |= {f"{player}.{name}": value for name, value in module.state_dict().items()}
            named |= _optimizer_tensors(f"optimizer_{player}", module, optimizer)
        return named | {f"ema.{name}": value for name, value in self.ema.module.state_dict().items()}

    def _restore_players(self, tensors: dict[str, Tensor]) -> None:
        for player, (module, optimizer) in self.players().items():
            module.load_state_dict(_below(player, tensors))
            _restore_optimizer(optimizer, module, _below(f"optimizer_{player}", tensors))
        self.ema.module.load_state_dict(_below("ema", tensors))


def _adam(module: nn.Module, learning_rate: float, config: RecipeConfig) -> torch.optim.Adam:
    betas = (config.adam_beta1, config.adam_beta2)
    return PlainAdam(module.parameters(), lr=learning_rate, betas=betas, fused=True)


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
