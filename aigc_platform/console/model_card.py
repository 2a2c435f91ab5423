"""The model card of a version, read from the store for a page."""

import json
from dataclasses import dataclass
from typing import Any

from aigc_platform.jobs.models import Artifact
from aigc_platform.storage.exceptions import StorageError
from aigc_platform.storage.object_store import get_object_store

_MOST_BYTES = 256 * 1024


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
