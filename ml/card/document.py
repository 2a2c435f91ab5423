"""The model card as a JSON document: what a person must know before using a generator (Mitchell et al. 2019)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ml.card.history import summarise
from ml.card.limits import limits
from ml.card.notes import CardNotes
from ml.card.quick_look import QuickLook
from ml.catalog import get_recipe
from ml.checkpoint import SnapshotDocument, software_versions
from ml.data.packed import PackedDataset
from ml.hooks import TrainingResult
from ml.metrics.report import Figure

CARD_FORMAT = 2
_NO_WEIGHTS_LICENCE = (
    "Nobody stated a licence for the weights; without one, others have no right to use them."
)
_NO_DATA_LICENCE = (
    "Nobody stated a licence of the data: make sure that you may train on them and share the result."
)


@dataclass(frozen=True)
class CardContext:
    """What a card says beside what `ml` knows itself.

    Attributes:
        title: what to call the generator; None takes recipe and data set.
        licence: of the weights, as its owner says.
        manifest_sha256: of the data set's manifest file, which pins the data.
        lineage: who asked for it and where: free text by name.
        versions: of the software; those that `ml` knows are added.
    """

    title: str | None = None
    licence: str | None = None
    manifest_sha256: str | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def card_document(
    *,
    dataset: PackedDataset,
    result: TrainingResult,
    snapshot: SnapshotDocument,
    snapshot_sha256: str,
    history: dict[str, list[tuple[float, float]]],
    notes: CardNotes,
    seen: QuickLook,
    context: CardContext,
) -> dict[str, Any]:
    """Put the whole card together: plain values, none of them NaN or infinite."""
    about = get_recipe(result.recipe)
    channels, height, width = dataset.image_shape
    image = {"width": width, "height": height, "channels": channels}
    data = _data(dataset, snapshot, result, context, image)
    training = _training(result, snapshot, notes)
    return {
        "format": CARD_FORMAT,
        "title": context.title or f"{result.recipe} on {dataset.name}",
        "recipe": {
            "name": about.name,
            "title": about.title,
            "summary": about.summary,
            "paper": about.paper,
        },
        "config": result.config,
        "seed": result.config.get("seed"),
        "image": image,
        "classes": list(snapshot.classes),
        "dataset": data,
        "training": training,
        "statistics": result.metrics,
        "curves": summarise(history),
        "figures": _figures(seen),
        "neighbours": None if seen.neighbours is None else {"seed": seen.seed, **asdict(seen.neighbours)},
        "licence": _licence(dataset, context),
        "limits": limits(
            image=image,
            learned_from=data["learned_from"],
            warnings=[warning["message"] for warning in result.profile.get("warnings", [])],
            training=training,
            seen=seen,
        ),
        "snapshot_sha256": snapshot_sha256,
        "versions": {**software_versions(), **context.versions},
        "provenance": dict(context.lineage),
    }


def _data(
    dataset: PackedDataset,
    snapshot: SnapshotDocument,
    result: TrainingResult,
    context: CardContext,
    image: Mapping[str, int],
) -> dict[str, Any]:
    held_out = snapshot.holdout
    learned_from = len(dataset.images) if held_out is None else held_out.train
    return {
        "name": dataset.name,
        "source": dataset.manifest.get("source", {}),
        "manifest_sha256": context.manifest_sha256,
        "content_sha256": dataset.content_sha256,
        "count": len(dataset.images),
        "learned_from": learned_from,
        "held_out": 0 if held_out is None else held_out.held_out,
        "holdout": None if held_out is None else held_out.model_dump(mode="json"),
        **image,
        "class_counts": dict(zip(dataset.classes, dataset.manifest.get("class_counts", []), strict=False)),
        "profile": result.profile,
    }


def _training(result: TrainingResult, snapshot: SnapshotDocument, notes: CardNotes) -> dict[str, Any]:
    """How the run went; `snapshot_images_seen` is when the published weights were taken."""
    chosen = {"snapshot_chosen": result.snapshot_chosen} if result.snapshot_chosen else {}
    return {
        "images_seen": result.images_seen,
        "snapshot_images_seen": snapshot.images_seen,
        "seconds": round(result.seconds, 3),
        **notes.environment,
        "choices": notes.choices | chosen,
        "interventions": notes.interventions,
    }


def _figures(seen: QuickLook) -> dict[str, Any]:
    """Every figure beside its floor, or why there are none."""
    report = seen.report
    if report is None:
        return {"measured": False, "reason": seen.skipped, "values": {}}
    full = report.model_dump(mode="json")
    return {
        "measured": True,
        "reason": None,
        "n": report.n,
        "seed": report.seed,
        "seconds": report.seconds,
        "split": full["split"],
        "extractor": full["extractor"],
        "values": {figure.name: _figure(figure) for figure in report.figures},
        "classes": full["classes"],
        "skipped": full["skipped"],
        "warnings": full["warnings"],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return figure.model_dump(
        mode="json", include={"value", "floor", "better", "uncertainty", "n", "reference", "space"}
    )


def _licence(dataset: PackedDataset, context: CardContext) -> dict[str, Any]:
    of_data = dataset.manifest.get("source", {}).get("licence")
    missing = [
        sentence
        for licence, sentence in ((of_data, _NO_DATA_LICENCE), (context.licence, _NO_WEIGHTS_LICENCE))
        if licence is None
    ]
    return {"data": of_data, "weights": context.licence, "note": " ".join(missing) or None}
