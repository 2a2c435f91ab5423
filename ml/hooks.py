"""What a training run tells the outside, and how the outside stops it. Free of torch."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


class Stop(enum.Enum):
    """How to end a run before its budget is used up."""

    CHECKPOINT = "checkpoint"
    """Write a training state, then return."""
    ABORT = "abort"
    """Return at once and write nothing more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. Rates and times count this process's part of the run only."""

    images_seen: int
    total_images: int
    images_per_second: float
    seconds: float
    eta_seconds: float | None
    metrics: dict[str, float] = field(default_factory=dict)


def _ignore_progress(progress: Progress, /) -> None: ...
def _never_stop() -> Stop | None:
    return None


def _ignore_path(path: Path, images_seen: int, /) -> None: ...
def _ignore_event(event_type: str, data: Mapping[str, object], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callables a run makes from its own thread between two steps. An exception in one ends the run.

    Attributes:
        on_progress: every `tick_seconds`, and once at the end.
        should_stop: asked before every step, so it must be cheap.
        on_checkpoint: a training state was completed in this folder; it stays until the next one is complete.
        on_grid: a sample grid (PNG, labelled as AI-made) was written.
        on_event: something worth a line in a log: `data_profile`, `data_warning`, `data_split`,
            `recipe_chosen`, `started`, `resumed`, `resumed_inexactly`, `health_warn`, `health_rollback`,
            `health_reset`, `health_stop`, `early_stop`, `snapshot_chosen`, `finished`, `stopped`.
    """

    on_progress: Callable[[Progress], None] = _ignore_progress
    should_stop: Callable[[], Stop | None] = _never_stop
    on_checkpoint: Callable[[Path, int], None] = _ignore_path
    on_grid: Callable[[Path, int], None] = _ignore_path
    on_event: Callable[[str, Mapping[str, object]], None] = _ignore_event


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run left behind. A stopped run has no snapshot; an aborted one has no new checkpoint.

    Attributes:
        recipe: what was trained; the chosen one for `auto`.
        config: its settings.
        profile: what the data are like, see `ml.data.profile.DataProfile.as_json`.
        snapshot_images_seen: when the published weights were taken; 0 without a snapshot.
        snapshot_chosen: why these, as the event `snapshot_chosen` says it; empty when nothing was measured.
        holdout: which images were held out, see `ml.checkpoint.HoldoutRecord`.
    """

    status: Literal["finished", "stopped"]
    images_seen: int
    seconds: float
    snapshot: Path | None
    checkpoint: Path | None
    metrics: dict[str, float]
    grid: Path | None
    recipe: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    snapshot_images_seen: int = 0
    snapshot_chosen: dict[str, Any] = field(default_factory=dict)
    holdout: dict[str, Any] = field(default_factory=dict)
