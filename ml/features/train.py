"""Train a feature network by the pinned recipe: how the shipped ones were made, and how to make your own.

    python -m ml.features.train --dataset digits --name digits-32 --out digits-32.safetensors

Only the training side of the split is learned from; the other side gives the accuracy that the file states.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ml.data.named import load_dataset
from ml.data.packed import PackedDataset
from ml.data.split import DEFAULT_HOLDOUT, split_dataset
from ml.errors import InvalidDatasetError, MlError
from ml.features.classifier import (
    ClassifierSpec,
    SmallClassifier,
    calibrate,
    fit_classifier,
    network_px,
    predict,
)
from ml.features.weights import NetworkDocument, describe, half_precision, load_weights, save_network

IMAGES_SHOWN = 200_000
SEED = 0


def train_feature_network(
    dataset: PackedDataset,
    *,
    name: str,
    images_shown: int = IMAGES_SHOWN,
    holdout: float = DEFAULT_HOLDOUT,
    seed: int = SEED,
) -> tuple[SmallClassifier, NetworkDocument]:
    """Train a network on the training side of a labelled data set; its weights are rounded to fp16.

    Raises:
        InvalidDatasetError: no labels, fewer than two classes, or nothing held out to test on.
    """
    if dataset.labels is None or len(dataset.classes) < 2:
        raise InvalidDatasetError(
            "features.no_labels", f"{dataset.name} has fewer than two classes: there is nothing to classify."
        )
    split = split_dataset(dataset, holdout=holdout)
    if not len(split.test):
        raise InvalidDatasetError("features.no_test", f"{dataset.name} is too small to hold anything out.")
    channels, height, width = dataset.image_shape
    spec = ClassifierSpec(network_px(max(height, width)), channels, len(dataset.classes))
    network = fit_classifier(
        dataset.images[split.train],
        dataset.labels[split.train],
        spec,
        images_shown=images_shown,
        seed=seed,
    )
    calibrate(network, dataset.images[split.train])
    load_weights(network, half_precision(network))
    hits = predict(network, dataset.images[split.test]) == dataset.labels[split.test]
    document = describe(
        network,
        name=name,
        classes=dataset.classes,
        dataset=dataset.name,
        dataset_sha256=dataset.content_sha256,
        holdout=split.holdout,
        split_seed=split.seed,
        images_shown=images_shown,
        seed=seed,
        test_accuracy=round(float(hits.float().mean()), 4),
    )
    return network, document


def main(
    dataset: Annotated[str, typer.Option(help="A built-in data set, or a folder with a packed one.")],
    name: Annotated[str, typer.Option(help="What reports call the network.")],
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    images_shown: Annotated[int, typer.Option(min=1, help="Training budget in images.")] = IMAGES_SHOWN,
    data_folder: Annotated[
        Path | None, typer.Option(help="Where the files of a built-in data set are.")
    ] = None,
) -> None:
    """Train a feature network on one thread and print its accuracy and hash."""
    console = Console(highlight=False)
    try:
        data = load_dataset(dataset, folder=data_folder)
        network, document = train_feature_network(data, name=name, images_shown=images_shown)
    except MlError as error:
        Console(stderr=True).print(f"Error: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    sha256 = save_network(out, network, document)
    console.print(f"{out}: held-out accuracy {document.test_accuracy:.2%}, SHA-256 {sha256}")


if __name__ == "__main__":
    typer.run(main)
