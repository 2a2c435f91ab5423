"""A training's model card on the platform: what `ml.card` cannot know, and the artifacts it becomes."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from ml.card.document import CardContext
from ml.card.make import CardFiles, make_card
from ml.card.notes import CardNotes
from ml.data.packed import PackedDataset
from ml.hooks import TrainingResult
from workers.runner.job import Job, json_object
from workers.runner.provenance import provenance_of

CARD_ROLE, TEXT_ROLE, PICTURE_ROLE = "card", "card_text", "card_picture"


def write_model_card(
    job: Job,
    dataset: PackedDataset,
    result: TrainingResult,
    *,
    notes: CardNotes,
    history: Path,
    manifest_sha256: str,
    licence: str | None,
    versions: Mapping[str, str],
) -> CardFiles:
    """Measure a finished training shortly and write its card into the job's workspace.

    Args:
        job: kept visible while samples are made and measured.
        dataset: what it learned from.
        result: how the training ended.
        notes: what it said on its way.
        history: its metrics, whole across resumes.
        manifest_sha256: of the data set's manifest file, which pins the data.
        licence: of the weights, as the owner says.
        versions: of the software.
    """
    said = job.item.provenance
    model = job.item.spec.get("model")
    context = CardContext(
        title=model if isinstance(model, str) else None,
        licence=licence,
        manifest_sha256=manifest_sha256,
        lineage={**said, "job": job.id, "attempt": job.item.attempt},
        versions=versions,
    )
    return make_card(
        dataset,
        result,
        out=job.folder("card"),
        notes=notes,
        history=history,
        context=context,
        provenance=provenance_of(job.item),
        on_stage=lambda _stage, _done: job.stay_visible(),
        on_event=lambda event_type, data: job.event(f"training.{event_type}", data),
    )


def hand_over(job: Job, files: CardFiles) -> dict[str, JsonValue]:
    """Name the card's three forms as artifacts; return what it says."""
    job.artifact(CARD_ROLE, files.document)
    job.artifact(TEXT_ROLE, files.markdown)
    job.artifact(PICTURE_ROLE, files.picture)
    return json_object(files.content)
