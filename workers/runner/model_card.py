"""The model card: what a person must know before using a trained generator (Mitchell et al. 2019)."""

from collections.abc import Mapping

from ml.catalog import RecipeConfig, get_recipe
from ml.data.packed import PackedDataset
from ml.hooks import TrainingResult
from workers.runner.protocol import JobItem

CARD_FORMAT = 1


def model_card(
    *,
    item: JobItem,
    recipe: str,
    config: RecipeConfig,
    dataset: PackedDataset,
    manifest_sha256: str,
    result: TrainingResult,
    snapshot_sha256: str,
    environment: Mapping[str, object],
    versions: Mapping[str, str],
) -> dict[str, object]:
    """Describe a finished training: method, data, figures, limits and lineage.

    Args:
        item: the job, for its provenance.
        recipe: name of the recipe.
        config: all settings, defaults included.
        dataset: what it learned from.
        manifest_sha256: hash of the data set's manifest file, which pins the data.
        result: how the run ended.
        snapshot_sha256: hash of the published weights.
        environment: device, precision and threads of the run.
        versions: of the software.
    """
    about = get_recipe(recipe)
    channels, height, width = dataset.image_shape
    return {
        "format": CARD_FORMAT,
        "recipe": {
            "name": about.name,
            "title": about.title,
            "summary": about.summary,
            "paper": about.paper,
        },
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "dataset": {
            "name": dataset.name,
            "manifest_sha256": manifest_sha256,
            "content_sha256": dataset.content_sha256,
            "count": len(dataset.images),
            "width": width,
            "height": height,
            "channels": channels,
            "class_counts": dict(
                zip(dataset.classes, dataset.manifest.get("class_counts", []), strict=False)
            ),
            "source": dataset.manifest.get("source", {}),
            "profile": result.profile,
        },
        "training": {
            "images_seen": result.images_seen,
            "seconds": round(result.seconds, 3),
            **environment,
        },
        "figures": result.metrics,
        "snapshot_sha256": snapshot_sha256,
        "versions": dict(versions),
        "limits": _limits(dataset, result),
        "provenance": {**item.provenance, "job": item.job_id, "attempt": item.attempt},
    }


def _limits(dataset: PackedDataset, result: TrainingResult) -> list[str]:
    channels, height, width = dataset.image_shape
    count = len(dataset.images)
    kind = "grey" if channels == 1 else "colour"
    return [
        f"It makes {kind} images of {width}x{height} px like the {count:,} it learned from, and no others.",
        *(warning["message"] for warning in result.profile.get("warnings", [])),
        "Gaps and biases of those images are its own too.",
        "The figures were taken while training and describe the optimisation; they do not measure quality.",
        "It was not checked whether samples repeat training images; do not treat them as anonymous data.",
        "Everything it makes is AI-made and labelled so in the file; keep the label when passing files on.",
    ]
