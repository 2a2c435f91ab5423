"""Make a finished run's model card: `model_card.json`, `MODEL_CARD.md` and `model_card.png`.

    from ml.card.make import make_card
    from ml.card.notes import CardNotes

    notes = CardNotes()
    result = train(data, config, recipe="dcgan", out=run, hooks=notes.listening(Hooks()))
    make_card(data, result, out=run, notes=notes)

A card is made after the training and from its files: it changes no weight and no random stream.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ml.card.document import CardContext, card_document
from ml.card.history import charts_of, read_history
from ml.card.markdown import PICTURE_FILENAME, render
from ml.card.notes import CardNotes
from ml.card.picture import COLUMNS, MOST_CLASSES, ROWS_WITHOUT_CLASSES, PictureParts, draw_card
from ml.card.quick_look import QuickLook, look
from ml.checkpoint import load_snapshot
from ml.codecs.png import encode_png
from ml.codecs.provenance import Provenance
from ml.data.packed import PackedDataset
from ml.files import write_json
from ml.hooks import Hooks, TrainingResult
from ml.metrics.measure import StageHook, ignore_stage
from ml.sample import SampleItem, Sampler

JSON_FILENAME, MARKDOWN_FILENAME = "model_card.json", "MODEL_CARD.md"
SKIPPED_EVENT = "card_figures_skipped"
DEFAULT_SAMPLES = 500


@dataclass(frozen=True)
class CardFiles:
    """The three forms of a card, and what it says."""

    document: Path
    markdown: Path
    picture: Path
    content: dict[str, Any]


def make_card(
    dataset: PackedDataset,
    result: TrainingResult,
    *,
    out: Path,
    notes: CardNotes,
    history: Path | None = None,
    context: CardContext = CardContext(),  # noqa: B008 - frozen
    provenance: Provenance = Provenance(),  # noqa: B008 - frozen
    samples: int | None = None,
    device: torch.device | None = None,
    on_stage: StageHook = ignore_stage,
    on_event: Callable[[str, Mapping[str, object]], None] = Hooks().on_event,  # noqa: B008 - frozen
) -> CardFiles:
    """Measure a finished run shortly and write its card into `out`.

    Args:
        dataset: what the run learned from.
        result: of a finished run.
        out: folder for the three files; made if need be.
        notes: what the run said on its way.
        history: its `metrics.jsonl`; None takes the one in `out`.
        context: what only the caller knows.
        provenance: what the AI-made label of the picture says.
        samples: how many to measure; None takes the run's setting `card_samples`, 0 measures nothing.
        device: where samples are made; None takes a GPU if there is one.
        on_stage: told where the work stands.
        on_event: told `card_figures_skipped` with code and message when there are no figures.

    Raises:
        ValueError: the run left no snapshot.
    """
    if result.snapshot is None:
        raise ValueError("only a finished run, which has a snapshot, gets a model card")
    wanted = result.config.get("card_samples", DEFAULT_SAMPLES) if samples is None else samples
    figures = read_history(history or out / "metrics.jsonl")
    snapshot = load_snapshot(result.snapshot)
    with torch.random.fork_rng(devices=[]):
        seen = look(
            result.snapshot,
            dataset,
            samples=wanted,
            device=device,
            on_stage=on_stage,
            on_skip=lambda code, message: on_event(SKIPPED_EVENT, {"code": code, "message": message}),
        )
        sampler = Sampler.load(result.snapshot, device=device or "cpu")
    content = card_document(
        dataset=dataset,
        result=result,
        snapshot=snapshot.document,
        snapshot_sha256=snapshot.sha256,
        history=figures,
        notes=notes,
        seen=seen,
        context=context,
    )
    picture = draw_card(content, charts_of(figures), _parts(sampler, dataset, seen, content))
    return _write(out, content, encode_png(picture, provenance))


def _write(out: Path, content: dict[str, Any], picture: bytes) -> CardFiles:
    files = CardFiles(out / JSON_FILENAME, out / MARKDOWN_FILENAME, out / PICTURE_FILENAME, content)
    out.mkdir(parents=True, exist_ok=True)
    write_json(files.document, content)
    files.markdown.write_text(render(content), encoding="utf-8")
    files.picture.write_bytes(picture)
    return files


def _parts(sampler: Sampler, dataset: PackedDataset, seen: QuickLook, card: dict[str, Any]) -> PictureParts:
    names = sampler.classes[:MOST_CLASSES]
    row_count, stride = (len(names), len(sampler.classes)) if names else (ROWS_WITHOUT_CLASSES, 1)
    # As if sampled with the run's seed and all classes in turn: image c * stride + r is of class r.
    items = [
        SampleItem(card["seed"] or 0, c * stride + r if names else r * COLUMNS + c, r if names else None)
        for r in range(row_count)
        for c in range(COLUMNS)
    ]
    images = [image for _, image in sampler.sample(items)]
    rows = [images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]
    return PictureParts(rows, names, _pairs(dataset, seen))


def _pairs(dataset: PackedDataset, seen: QuickLook) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], str]]:
    if seen.neighbours is None or seen.samples is None:
        return []
    return [
        (
            seen.samples[pair.sample].permute(1, 2, 0).numpy(),
            dataset.images[pair.training].permute(1, 2, 0).numpy(),
            f"distance {pair.distance:.3g}"
            if pair.ratio is None
            else f"{pair.ratio:.2f} of the usual distance",
        )
        for pair in seen.neighbours.pairs
    ]
