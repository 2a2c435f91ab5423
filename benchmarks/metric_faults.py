"""Which fault moves which figure: real images with one known fault each, scored like samples.

    python benchmarks/metric_faults.py --dataset fashion-mnist
    python benchmarks/metric_faults.py --dataset digits

Some held-out images are what samples are compared with. As many others play the perfect generator and are then
spoiled in one way at a time. Prints a Markdown table, a row as soon as it is measured.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from ml.threads import apply_thread_rule

apply_thread_rule(1)

import torch  # noqa: E402 - after the thread rule, which must come before torch
from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from ml.data.named import load_dataset  # noqa: E402
from ml.data.packed import PackedDataset  # noqa: E402
from ml.evaluate import evaluate_images  # noqa: E402
from ml.metrics.report import EvaluationReport  # noqa: E402
from ml.metrics.setting import prepare_setting  # noqa: E402

Samples = tuple[Tensor, Tensor]
"""Images and the classes they were asked to have."""

COLUMNS: dict[str, Callable[[EvaluationReport], str]] = {
    "FD": lambda report: times_floor(report, "frechet_distance"),
    "KD": lambda report: value(report, "kernel_distance", 4),
    "precision": lambda report: value(report, "precision"),
    "recall": lambda report: value(report, "recall"),
    "density": lambda report: value(report, "density"),
    "coverage": lambda report: value(report, "coverage"),
    "two-sample": lambda report: value(report, "two_sample_accuracy"),
    "nearest ratio": lambda report: value(report, "nearest_training_ratio"),
    "copies": lambda report: value(report, "nearest_training_copies"),
    "rarest class": lambda report: value(report, "rarest_class"),
    "label accuracy": lambda report: value(report, "label_accuracy"),
    "train on synthetic": lambda report: value(report, "train_on_synthetic_accuracy"),
}


def value(report: EvaluationReport, name: str, digits: int = 2) -> str:
    return f"{report.figure(name).value:.{digits}f}"


def times_floor(report: EvaluationReport, name: str) -> str:
    figure = report.figure(name)
    return f"{figure.value / figure.floor:.1f}×" if figure.floor else "–"


def floors(report: EvaluationReport) -> str:
    cells = []
    for column, show in COLUMNS.items():
        as_floor = [
            figure.model_copy(update={"value": figure.floor})
            for figure in report.figures
            if figure.floor is not None
        ]
        text = show(report.model_copy(update={"figures": tuple(as_floor)}))
        cells.append(f"{report.figure('frechet_distance').floor:.3f}" if column == "FD" else text)
    return " | ".join(cells)


def faults(
    perfect: Samples, reserve: Samples, training: Samples, rng: torch.Generator
) -> Iterator[tuple[str, Samples]]:
    images, labels = perfect
    count = len(images)
    yield "none", perfect
    noise = 8 * torch.randn(images.shape, generator=rng)
    yield "noise, σ = 8 grey levels", (to_grey_levels(images.float() + noise), labels)
    yield "blur, binomial 3×3", (blurred(images), labels)
    yield "shifted 2 px", (torch.roll(images, 2, dims=3), labels)
    for dropped in (1, 3):
        # The gaps are filled with fresh images of the other classes: repeats would be a fault of their own.
        kept, spare = labels >= dropped, reserve[1] >= dropped
        filled = (
            torch.cat([whole[kept], more[spare]])[:count]
            for whole, more in zip(perfect, reserve, strict=True)
        )
        yield f"{dropped} of 10 classes missing", (next(filled), next(filled))
    few = torch.randperm(count, generator=rng)[torch.arange(count) % (count // 10)]
    yield f"{count // 10} distinct images, ten times each", (images[few], labels[few])
    copies, copied_labels = images.clone(), labels.clone()
    fifth = torch.randperm(count, generator=rng)[: count // 5]
    picked = torch.randperm(len(training[0]), generator=rng)[: len(fifth)]
    copies[fifth], copied_labels[fifth] = training[0][picked], training[1][picked]
    yield "20 % copied from training", (copies, copied_labels)
    inverted = images.clone()
    twentieth = torch.randperm(count, generator=rng)[: count // 20]
    inverted[twentieth] = 255 - inverted[twentieth]
    yield "5 % inverted", (inverted, labels)
    wrong = labels.clone()
    wrong[fifth] = (wrong[fifth] + 1) % 10
    yield "20 % of another class than asked", (images, wrong)


def to_grey_levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def blurred(images: Tensor) -> Tensor:
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line)[None, None]
    padded = functional.pad(images.float(), (1, 1, 1, 1), mode="replicate")
    return to_grey_levels(functional.conv2d(padded, kernel))


def perfect_samples(data: PackedDataset, seed: int) -> tuple[Samples, Samples, Samples]:
    """Held-out images that an evaluation of this seed leaves alone, of the classes it uses; the rest of these; and
    all training images.

    Without equal classes, the luck of the draw would look like a fault of its own.
    """
    labels = data.labels
    if labels is None:
        raise SystemExit(f"{data.name} has no labels.")
    split = prepare_setting(data, n=None, seed=seed, holdout=None, extractor=None).split
    setting = prepare_setting(data, n=int(0.4 * len(split.test)), seed=seed, holdout=None, extractor=None)
    left = split.test[~torch.isin(split.test, setting.test)]
    wanted = torch.bincount(labels[setting.test])
    picked = torch.cat([left[labels[left] == c][:count] for c, count in enumerate(wanted.tolist())])
    rest = left[~torch.isin(left, picked)]
    images = data.images
    return (
        (images[picked], labels[picked]),
        (images[rest], labels[rest]),
        (images[split.train], labels[split.train]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--extractor")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = load_dataset(options.dataset)
    perfect, reserve, training = perfect_samples(data, options.seed)
    rng = torch.Generator().manual_seed(options.seed)
    print(f"| {data.name}, n = {len(perfect[0]):,} | " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---|" * len(COLUMNS))
    for name, (images, labels) in faults(perfect, reserve, training, rng):
        report = evaluate_images(
            images, data, requested=labels, seed=options.seed, extractor=options.extractor
        )
        if name == "none":
            print(f"| *floor* | {floors(report)} |")
        print(f"| {name} | " + " | ".join(show(report) for show in COLUMNS.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
