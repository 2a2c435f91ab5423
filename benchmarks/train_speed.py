"""Images per second while training: our loop beside the usual tutorial loop, equal networks, one run.

The other side is what a user would write after PyTorch's DCGAN tutorial, in our own words: images as PIL
objects behind a DataLoader with transforms, float32, binary cross-entropy on probabilities, and three backward
passes a step (real batch, fake batch, generator). Both sides train the same layers from the same weights on the
same images; they take turns, and the medians of the pairs' ratios are what counts, so that a busy
machine slows both.

    python benchmarks/train_speed.py --steps 5 --pairs 9

One thread, and processor time instead of the wall's, so that neighbours on the machine hardly count. Writes
`benchmarks/results/train_speed.md`.
"""

import argparse
import copy
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ml.catalog import GanConfig, parse_config
from ml.data.builtin import load_builtin
from ml.data.packed import PackedDataset
from ml.hooks import Hooks, Stop
from ml.networks.build import build_discriminator, build_generator
from ml.networks.dcgan import DcganGenerator
from ml.networks.discriminator import Discriminator
from ml.networks.resampling import UpsampledConv2d
from ml.networks.spec import network_specs
from ml.train import train
from ml.training.precision import choose_precision
from ml.training.state import TrainingState
from ml.training.steps.choose import choose_step

BATCH = 64
WARM_UP_STEPS = 2


class PillowImages(Dataset[Tensor]):
    """The images as files would come: decoded by Pillow, then tensor, then normalised, one by one."""

    def __init__(self, data: PackedDataset) -> None:
        self.pictures = [Image.fromarray(image[0].numpy()) for image in data.images]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        picture = self.pictures[index].resize(self.pictures[index].size, Image.Resampling.BILINEAR)
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).float().div(255)
        return pixels.reshape(1, picture.height, picture.width).sub(0.5).div(0.5)


def plain(generator: nn.Module, discriminator: Discriminator) -> tuple[nn.Module, nn.Module]:
    """The same layers in a row, as the tutorial has them: without classes and without a memory layout.

    What we compute in one convolution is written out as the two layers that it stands for.
    """
    generator, discriminator = copy.deepcopy(generator), copy.deepcopy(discriminator)
    judge: list[nn.Module] = [discriminator.features.get_submodule("body"), nn.Flatten()]
    if isinstance(generator, DcganGenerator):
        body = [two for layer in generator.body for two in written_out(layer)]
        maker = [generator.start, *body]
    else:
        maker = [*(generator.get_submodule(part) for part in ("start", "body")), nn.Unflatten(1, (1, 32, 32))]
        judge.insert(0, nn.Flatten())
    return nn.Sequential(*maker), nn.Sequential(*judge, discriminator.head.score, nn.Flatten(0))


def written_out(layer: nn.Module) -> list[nn.Module]:
    """An upsampling convolution as upsampling and a convolution of equal weights; any other layer as it is."""
    if not isinstance(layer, UpsampledConv2d):
        return [layer]
    plain_layer = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, bias=layer.bias is not None)
    weights = layer.state_dict()
    weights["weight"] = weights["weight"].transpose(0, 1).flip(2, 3).contiguous()
    plain_layer.load_state_dict(weights)
    return [nn.Upsample(scale_factor=2, mode="nearest"), plain_layer]


def endless(loader: DataLoader[Tensor]) -> Iterator[Tensor]:
    while True:
        yield from loader


def tutorial_loop(
    generator: nn.Module, discriminator: nn.Module, data: PackedDataset, latent_size: int
) -> Callable[[], None]:
    """One step of the tutorial's loop, as a function to call again and again."""
    batches = endless(DataLoader(PillowImages(data), batch_size=BATCH, shuffle=True, drop_last=True))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loss = nn.BCELoss()

    def step() -> None:
        real = next(batches)
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        discriminator.zero_grad()
        torch.autograd.backward(loss(torch.sigmoid(discriminator(real)), ones))
        fake = generator(torch.randn(len(real), latent_size))
        torch.autograd.backward(loss(torch.sigmoid(discriminator(fake.detach())), zeros))
        optimizer_d.step()
        generator.zero_grad()
        torch.autograd.backward(loss(torch.sigmoid(discriminator(fake)), ones))
        optimizer_g.step()

    return step


def our_loop(state: TrainingState, data: PackedDataset, config: GanConfig) -> Callable[[], None]:
    """One step of ours, data included."""
    take_step = choose_step(config)

    def step() -> None:
        picked = state.sampler.next_batch(BATCH)
        take_step(state, data.images[picked].float().div_(127.5).sub_(1.0), None)

    return step


def images_per_second(step: Callable[[], None], steps: int) -> float:
    started = time.process_time()
    for _ in range(steps):
        step()
    return steps * BATCH / (time.process_time() - started)


def compare(recipe: str, settings: dict[str, object], *, steps: int, pairs: int) -> dict[str, object]:
    """Ratios of ours to the tutorial's loop for the networks of a recipe, in both number formats."""
    data = load_builtin("digits")
    base = {"batch_size": BATCH, "augment_probability": 0.0, "conditional": "no", **settings}
    config = parse_config(recipe, base)
    if not isinstance(config, GanConfig):
        raise TypeError(f"{recipe} has no discriminator")
    specs = network_specs(config, px=32, image_channels=1, classes=0)
    if specs.discriminator is None:
        raise TypeError(f"{recipe} has no discriminator")
    torch.manual_seed(0)
    generator, discriminator = build_generator(specs.generator), build_discriminator(specs.discriminator)
    sides = {"tutorial": tutorial_loop(*plain(generator, discriminator), data, config.latent_size)}
    for precision in ("fp32", "bf16"):
        state = TrainingState.around(
            config,
            copy.deepcopy(generator),
            copy.deepcopy(discriminator),
            image_count=len(data.images),
            device=torch.device("cpu"),
        )
        state.precision = "bf16" if precision == "bf16" else "fp32"
        sides[precision] = our_loop(state, data, config)
    for step in sides.values():
        images_per_second(step, WARM_UP_STEPS)
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(pairs):
        for side, step in sides.items():
            rates[side].append(images_per_second(step, steps))
    medians = {side: statistics.median(values) for side, values in rates.items()}
    ratios = {
        precision: statistics.median(
            ours / theirs for ours, theirs in zip(rates[precision], rates["tutorial"], strict=True)
        )
        for precision in ("fp32", "bf16")
    }
    chosen = choose_precision(state, config, classes=0)
    return {"images_per_cpu_second": medians, "ratio_to_tutorial": ratios, "chosen": chosen}


def loop_overhead(*, steps: int, pairs: int, out: Path) -> float:
    """How much more a run takes than its bare steps: progress every second, health and stop checks.

    The bare steps run inside the run's own stop question, in turns with the loop's, on networks of their own.
    """
    data = load_builtin("digits")
    settings: dict[str, object] = {"generator_channels": 32, "discriminator_channels": 32}
    settings |= {"batch_size": BATCH, "grid_seconds": 0.0, "kid_kimg": 0.0, "tick_seconds": 1.0}
    config = parse_config("dcgan", {"kimg": 1000.0, "precision": "fp32", "conditional": "no", **settings})
    assert isinstance(config, GanConfig)
    specs = network_specs(config, px=32, image_channels=1, classes=0)
    state = TrainingState.fresh(config, *specs, image_count=len(data.images), device=torch.device("cpu"))
    bare = our_loop(state, data, config)
    ratios: list[float] = []
    asked = 0
    began = time.process_time()

    def should_stop() -> Stop | None:
        nonlocal asked, began
        asked += 1
        if asked % steps:
            return None
        in_loop = BATCH * steps / (time.process_time() - began)
        alone = images_per_second(bare, steps)
        if asked > steps:  # the first turn warmed up
            ratios.append(alone / in_loop)
        began = time.process_time()
        return Stop.ABORT if len(ratios) == pairs else None

    train(data, config, recipe="dcgan", out=out, hooks=Hooks(should_stop=should_stop))
    return statistics.median(ratios) - 1


def matrix_rates() -> dict[str, float]:
    """Billions of operations a processor second in a product of matrices: what bf16 can gain here."""
    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = torch.randn(1024, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
        taken = []
        for _ in range(8):
            started = time.process_time()
            left @ right
            taken.append(time.process_time() - started)
        rates[name] = 2 * 1024**3 / min(taken) / 1e9
    return rates


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def table(results: dict[str, Any]) -> str:
    """The results as a page."""
    rates = results["gflops"]
    lines = [
        "# Training speed beside the usual tutorial loop",
        "",
        (
            f"Written by `make bench-train`. {results['processor']}, torch {results['torch']}, one thread, "
            f"batch {BATCH}, images of 32x32x1."
        ),
        (
            "Figures are images per second of processor time; both sides take turns in one run and the ratio is the "
            f"median of {results['pairs']} pairs."
        ),
        f"Load average of the machine while measuring: {results['load']}.",
        "",
        "| networks | tutorial, fp32 | ours, fp32 | ours, bf16 | fp32 ratio | bf16 ratio | the probe chooses |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in results["networks"].items():
        rate, ratio = row["images_per_cpu_second"], row["ratio_to_tutorial"]
        lines.append(
            f"| {name} | {rate['tutorial']:,.0f} | {rate['fp32']:,.0f} | {rate['bf16']:,.0f} | "
            f"{ratio['fp32']:.2f} | {ratio['bf16']:.2f} | {row['chosen']} |"
        )
    lines += [
        "",
        (
            f"A product of matrices reaches {rates['fp32']:.0f} GFLOP/s in fp32 and {rates['bf16']:.0f} in bf16 "
            "on this processor: bf16 can pay only where the second is clearly larger."
        ),
        f"Progress, health and stop checks add {results['loop_overhead']:+.1%} to the bare steps.",
        "",
        (
            "The tutorial's side is what PyTorch's DCGAN tutorial teaches, in our own words: a DataLoader over Pillow "
            "images, float32, binary cross-entropy on probabilities, three backward passes, plain Adam. Both sides "
            "compute the same function from the same weights; what ours computes as one convolution (upsampling and "
            "a 3x3 kernel) is two layers there. "
            "`tests/unit/ml/training/test_gan_step.py` holds the losses of both together."
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=5, help="steps of one measurement")
    parser.add_argument("--pairs", type=int, default=9, help="measurements of each side")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/train_speed.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {"torch": torch.__version__, "processor": processor(), "pairs": arguments.pairs}
    load_before = os.getloadavg()[0]
    results["gflops"] = matrix_rates()
    channels: dict[str, object] = {"generator_channels": 32, "discriminator_channels": 32}
    results["networks"] = {
        name: compare(recipe, settings, steps=arguments.steps * factor, pairs=arguments.pairs)
        for name, recipe, settings, factor in (
            ("DCGAN-32", "dcgan", channels, 1),
            ("MLP-32", "mlp-gan", {}, 5),
        )
    }
    with tempfile.TemporaryDirectory(prefix="train-speed-") as scratch:
        results["loop_overhead"] = loop_overhead(
            steps=arguments.steps, pairs=arguments.pairs, out=Path(scratch)
        )
    results["load"] = f"{load_before:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(table(results), encoding="utf-8")
    print(arguments.out.read_text("utf-8"))


if __name__ == "__main__":
    main()
