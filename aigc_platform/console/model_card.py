"""The model card of a version, read from the store for a page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aigc_platform.console.markup import NOTHING
from aigc_platform.jobs.models import Artifact
from aigc_platform.storage.exceptions import StorageError
from aigc_platform.storage.object_store import get_object_store

_MOST_BYTES = 256 * 1024


_NAMES = {
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "Kernel distance",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "nearest_training_ratio": "Nearest training image, ratio",
    "nearest_training_copies": "Copies of training images",
    "rarest_class": "Rarest class, share of its due",
    "label_accuracy": "Made as asked",
}
_ORDER = {name: place for place, name in enumerate(_NAMES)}
"""PostgreSQL keeps no order of names; a page has one."""
_GOOD_ENDS = {"lower": "low", "higher": "high", "half": "0.5", "one": "1"}


@dataclass(frozen=True)
class FigureRow:
    """One figure as a table shows it; the floor is what real images get in the samples' place."""

    name: str
    value: str
    floor: str
    good: str


def _figure_row(name: str, figure: Mapping[str, Any]) -> FigureRow | None:
    value, floor = figure.get("value"), figure.get("floor")
    if not isinstance(value, int | float):
        return None
    return FigureRow(
        name=_NAMES.get(name, name.replace("_", " ").capitalize()),
        value=f"{value:.4g}",
        floor=f"{floor:.4g}" if isinstance(floor, int | float) else NOTHING,
        good=_GOOD_ENDS.get(str(figure.get("better")), ""),
    )


@dataclass(frozen=True)
class Card:
    """What a page shows of a card.

    Attributes:
        content: the whole card; empty if it cannot be shown.
        problem: why it cannot be shown; empty if it can.
    """

    content: dict[str, Any]
    problem: str = ""

    @property
    def summary(self) -> str:
        recipe = self.content.get("recipe")
        return str(recipe.get("summary", "")) if isinstance(recipe, dict) else ""

    @property
    def paper(self) -> str:
        recipe = self.content.get("recipe")
        return str(recipe.get("paper", "")) if isinstance(recipe, dict) else ""

    @property
    def figures(self) -> list[FigureRow]:
        """Every measured figure beside its floor; empty for a card without, or of another form."""
        figures = self.content.get("figures")
        values = figures.get("values") if isinstance(figures, dict) else None
        if not isinstance(values, dict):
            return []
        known = sorted(values.items(), key=lambda item: (_ORDER.get(item[0], len(_ORDER)), item[0]))
        rows = (_figure_row(name, value) for name, value in known if isinstance(value, dict))
        return [row for row in rows if row is not None]

    @property
    def figures_note(self) -> str:
        """With how many samples they were measured, or why there are none."""
        figures = self.content.get("figures")
        if not isinstance(figures, dict):
            return ""
        if figures.get("measured"):
            return f"{figures.get('n', 0):,} samples and as many held-out images, right after training."
        reason = figures.get("reason")
        return f"Not measured. {reason.get('message', '')}" if isinstance(reason, dict) else ""

    @property
    def licence(self) -> str:
        licence = self.content.get("licence")
        if not isinstance(licence, dict):
            return ""
        said = {what: licence.get(what) or "not stated" for what in ("data", "weights")}
        return f"data {said['data']}, weights {said['weights']}"

    @property
    def limits(self) -> list[str]:
        limits = self.content.get("limits")
        return [str(limit) for limit in limits] if isinstance(limits, list) else []


def read_card(artifact: Artifact | None) -> Card:
    """Return a stored card, or why there is none to show: a page must not fail because the store is away."""
    if artifact is None:
        return Card({}, "This version was published without a model card.")
    if artifact.size > _MOST_BYTES:
        return Card({}, "This model card is too long to be shown here; download it.")
    try:
        content = json.loads(get_object_store().get_range(artifact.key, 0, _MOST_BYTES))
    except StorageError as error:
        return Card({}, f"The model card could not be read. {error.message}")
    except ValueError:
        return Card({}, "The stored model card is not JSON.")
    return Card(content if isinstance(content, dict) else {})
