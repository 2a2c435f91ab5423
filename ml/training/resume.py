"""A run's training states: written now and then, and taken up again."""

import shutil
from pathlib import Path

from ml.catalog import MAY_DIFFER_ON_RESUME, GanConfig, RecipeConfig
from ml.checkpoint import StateDocument, load_training_state, save_training_state, software_versions
from ml.errors import InvalidCheckpointError
from ml.metrics.running import RunningMetrics
from ml.training.plan import Plan
from ml.training.state import TrainingState
from ml.training.stopwatch import Alarm, Stopwatch

CHECKPOINTS_KEPT = 2
"""The newest, and the one before it, which somebody may still be copying."""
_ANNOUNCED = frozenset({"precision"})
"""Settings that may differ on resume and change the weights, which is told by an event."""


class Checkpoints:
    """Writes the training states of one run."""

    def __init__(
        self,
        plan: Plan,
        state: TrainingState,
        metrics: RunningMetrics,
        watch: Stopwatch,
        *,
        seconds: float,
    ) -> None:
        self._plan, self._state, self._metrics, self._watch = plan, state, metrics, watch
        self._alarm = Alarm(seconds)
        self.latest: Path | None = None
        """Folder of the newest state that this process wrote."""

    def is_due(self) -> bool:
        """Whether it is time for another one."""
        return self._alarm.is_due()

    def write(self) -> None:
        """Write a training state, tell the hook, and drop states older than the one before it.

        A broken state is not written: a resumed run meets the same break again, and deals with it.
        """
        self._alarm.set()
        if self._metrics.non_finite():
            return
        plan, state = self._plan, self._state
        state.seconds = self._watch.seconds()
        folder = plan.out / "checkpoints" / f"{state.images_seen:09d}"
        document = StateDocument(
            recipe=plan.recipe,
            config=plan.config.model_dump(mode="json"),
            dataset_sha256=plan.dataset.content_sha256,
            images_seen=state.images_seen,
            seconds=state.seconds,
            precision=state.precision,
            device=state.device.type,
            devices=state.crew.size,
        )
        save_training_state(folder, state.tensors(), document)
        self.latest = folder
        plan.hooks.on_checkpoint(folder, state.images_seen)
        for old in sorted(folder.parent.glob("[0-9]*"))[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)


def restore(plan: Plan, state: TrainingState, folder: Path) -> None:
    """Load a training state after checking that it is of this recipe, data and config.

    Another kind or number of devices, number format or software version is taken, and the event
    `resumed_inexactly` says that the weights will not be, bit for bit, those of a run that was never stopped.

    Raises:
        InvalidCheckpointError: the state is damaged or of another run.
    """
    tensors, document = load_training_state(folder, state.tensors())
    _refuse_another_run(plan, document, folder)
    try:
        state.restore(tensors)
    except (RuntimeError, ValueError) as error:
        # Shapes fit, so it is what a random stream or the sampler says of its own state.
        raise InvalidCheckpointError(
            "checkpoint.unusable", f"{folder} holds an impossible state: {error}"
        ) from error
    state.images_seen = document.images_seen
    state.seconds = document.seconds
    state.precision = document.precision if plan.config.precision == "auto" else plan.config.precision
    _tell_what_changed(plan, state, document)


def _refuse_another_run(plan: Plan, document: StateDocument, folder: Path) -> None:
    wanted = plan.config.model_dump(mode="json")
    may_differ = _ANNOUNCED | MAY_DIFFER_ON_RESUME - ({"kimg"} if follows_the_budget(plan.config) else set())
    different = [
        name for name in wanted if name not in may_differ and wanted[name] != document.config.get(name)
    ]
    if document.recipe != plan.recipe:
        different.insert(0, "recipe")
    if document.dataset_sha256 != plan.dataset.content_sha256:
        different.insert(0, "data set")
    if different:
        raise InvalidCheckpointError(
            "checkpoint.other_run",
            f"{folder} belongs to another run: {', '.join(different)} differ. Resume with the same settings "
            "and data, or start a new run.",
        )


def follows_the_budget(config: RecipeConfig) -> bool:
    """Whether another kimg would change the weights at a given number of images, by way of a schedule."""
    penalty_final = config.penalty_final if isinstance(config, GanConfig) else 1.0
    return config.learning_rate_final < 1 or penalty_final < 1


def _tell_what_changed(plan: Plan, state: TrainingState, document: StateDocument) -> None:
    before = {
        "precision": document.precision,
        "device": document.device,
        "devices": document.devices,
        **document.versions,
    }
    now = {
        "precision": state.precision,
        "device": state.device.type,
        "devices": state.crew.size,
        **software_versions(),
    }
    changes = {
        name: {"before": before.get(name), "now": value}
        for name, value in now.items()
        if before.get(name) != value
    }
    if not changes:
        return
    listed = ", ".join(
        f"{name} {change['before'] or 'unknown'} became {change['now']}" for name, change in changes.items()
    )
    plan.hooks.on_event(
        "resumed_inexactly",
        {
            "changes": changes,
            "message": f"{listed}: from image {state.images_seen:,} on the weights differ from those of a run that "
            "was never stopped, by rounding at first. Nothing was lost: networks, optimisers, random numbers and "
            "the order of the images go on where they were.",
        },
    )
