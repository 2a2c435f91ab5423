"""Which features see which fault in colour images: the shipped network beside principal components of pixels.

    python benchmarks/colour_features.py

Fashion-MNIST, each image in a random colour; real images against others, spoiled in one way at a time. Prints the
Fréchet distance as a multiple of the floor (other real images, unspoiled) as a Markdown table.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from ml.threads import apply_thread_rule

apply_thread_rule(1)

import torch  # noqa: E402 - after the thread rule, which must come before torch
from torch import Tensor  # noqa: E402

from benchmarks.metric_faults import blurred, to_grey_levels  # noqa: E402
from ml.data.builtin import load_builtin  # noqa: E402
from ml.data.packed import PackedDataset  # noqa: E402
from ml.data.split import split_dataset  # noqa: E402
from ml.features.registry import EXTRACTORS  # noqa: E402
from ml.metrics.frechet import frechet_distance  # noqa: E402


def tinted(images: Tensor, rng: torch.Generator) -> Tensor:
    colours = 0.4 + 0.6 * torch.rand(len(images), 3, 1, 1, generator=rng)
    return to_grey_levels(images.float() * colours)


def spoiled(
    images: Tensor, spare: Tensor, labels: Tensor, rng: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    count = len(images)
    yield "none", images
    yield "noise, σ = 8 grey levels", to_grey_levels(images + 8 * torch.randn(images.shape, generator=rng))
    yield "blur, binomial 3×3", blurred(images.flatten(0, 1)[:, None]).view_as(images)
    yield "shifted 2 px", images.roll(2, dims=3)
    yield "colour lost", to_grey_levels(images.float().mean(1, keepdim=True).expand_as(images))
    for dropped in (1, 3):
        yield f"{dropped} of 10 classes missing", spare[labels >= dropped][:count]
    yield f"{count // 10} distinct images, ten times each", images[torch.arange(count) % (count // 10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = torch.Generator().manual_seed(options.seed)
    grey = load_builtin("fashion-mnist")
    assert grey.labels is not None
    picked = torch.randperm(len(grey.images), generator=rng)[: 4 * options.n]
    images = tinted(grey.images[picked], rng)
    data = PackedDataset.create(name="tinted", images=images)
    reference, others, spare = images.split([options.n, options.n, 2 * options.n])
    names = ("lite0-112", "pixels")
    extractors = [EXTRACTORS.choose(data, split_dataset(data), wanted=name).extractor for name in names]
    real = [extractor.features(reference) for extractor in extractors]
    print(f"| n = {options.n:,} | " + " | ".join(extractor.name for extractor in extractors) + " |")
    print("|---" * (1 + len(names)) + "|")
    floors: list[float] = []
    for fault, faulty in spoiled(others, spare, grey.labels[picked][2 * options.n :], rng):
        distances = [
            frechet_distance(points, extractor.features(faulty))
            for points, extractor in zip(real, extractors, strict=True)
        ]
        floors = floors or distances
        shares = (f"{distance / floor:.1f}×" for distance, floor in zip(distances, floors, strict=True))
        print(f"| {fault} | " + " | ".join(shares) + " |", flush=True)


if __name__ == "__main__":
    main()
