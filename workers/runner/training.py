"""Job kind `training`: run `ml.train` and tell the supervisor what it makes on the way."""

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel, Field, JsonValue, ValidationError

from ml.card.make import CardFiles
from ml.card.notes import CardNotes
from ml.catalog import RecipeConfig, is_conditional, parse_config
from ml.data.packed import MANIFEST_FILENAME, PackedDataset
from ml.distributed import joined, largest_crew
from ml.files import sha256_of_file
from ml.hooks import Hooks, Progress, Stop, TrainingResult
from ml.tracking.event_file import SUFFIX
from ml.tracking.tensorboard import convert_metrics
from ml.tracking.tracker import following
from ml.train import train
from workers.runner.channel import Channel
from workers.runner.checkpoints import CheckpointHandover
from workers.runner.crew import leave_word, meeting_of, read_job, working_together
from workers.runner.failures import JobError, describe, from_validation, is_known, is_out_of_memory
from workers.runner.isolation import end_now
from workers.runner.job import Job, only_job
from workers.runner.metrics_log import FILENAME as METRICS_FILENAME
from workers.runner.metrics_log import MetricsLog
from workers.runner.model_card import hand_over, write_model_card
from workers.runner.process import library_versions
from workers.runner.protocol import ExitStatus, Problem, Start
from workers.runner.provenance import provenance_of
from workers.runner.tracking import trackers_of

_RUN_FOLDER = "run"
_LONGEST_TICK_SECONDS = 1.0
_PREVIEW_ADVANCE = 1.05
"""A preview is kept when the run has come 5 % further, so that a run of days keeps some hundred pictures."""
_LIFECYCLE_EVENTS = frozenset({"started", "resumed", "finished", "stopped"})
"""The platform writes these itself, for all kinds of jobs."""


class TrainingSpec(BaseModel):
    """What the job kind's spec holds for the runner; `config` is checked against the recipe."""

    recipe: str
    config: dict[str, JsonValue] = Field(default_factory=dict)
    licence: str | None = None


class TrainingHandler:
    """Trains once; a fresh process for each run is what makes runs independent of each other."""

    def run(self, start: Start, channel: Channel) -> ExitStatus:
        """Train, or go on training, and end."""
        job = only_job(start, channel)
        try:
            return _TrainingRun(
                job,
                checkpoint_seconds=start.checkpoint_seconds,
                processes=start.processes,
                tracking_uri=start.tracking_uri,
            ).run()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the job's end must be told
            return job.fail(_explain_memory(error, job.item.spec))


def create_handler() -> TrainingHandler:
    return TrainingHandler()


def train_along(folder: Path, rank: int, size: int) -> None:
    """Be process `rank` of the `size` of the crew with this folder, which reports and writes nothing of the run.

    An error ends this process at once; if it says more than the log does, the crew's first process is told.
    """
    item = read_job(folder)
    with ExitStack() as stack:
        try:
            spec = TrainingSpec.model_validate(item.spec)
            dataset = PackedDataset.load(Path(item.inputs["dataset"]))
            stack.enter_context(joined(rank, meeting_of(folder, rank, size)))
            train(
                dataset,
                _parse(spec),
                recipe=spec.recipe,
                out=Path(item.workspace) / _RUN_FOLDER,
                resume=None if item.resume is None else Path(item.resume),
            )
        except Exception as error:  # noqa: BLE001 - as for the first process
            failed = describe(item.job_id, _explain_memory(error, item.spec))
            if is_known(error):
                leave_word(folder, rank, failed)
            # Taking leave of the others could wait for ever: they may be inside an operation with this process.
            end_now(ExitStatus.INFRASTRUCTURE_ERROR, f"process {rank} of the training failed")


def _explain_memory(error: Exception, spec: Mapping[str, JsonValue]) -> Exception:
    """Say which setting to lower. It is not lowered here: with another batch another model is trained."""
    if not is_out_of_memory(error):
        return error
    batch_size = _parse(TrainingSpec.model_validate(spec)).batch_size
    advice = f"submit it again with a batch_size below {batch_size}, smaller images or narrower networks"
    return JobError(
        "out_of_memory",
        "training.out_of_memory",
        f"The training needs more memory than the worker has: {advice}.",
        [
            Problem(
                pointer="/config/batch_size",
                code="training.out_of_memory",
                message=f"{batch_size} images at a time do not fit; {max(1, batch_size // 2)} take about half.",
            )
        ],
    )


def _parse(spec: TrainingSpec) -> RecipeConfig:
    try:
        return parse_config(spec.recipe, spec.config)
    except ValidationError as error:
        raise from_validation(error, prefix="/config") from error


class _TrainingRun:
    """One attempt, seen from outside the loop."""

    def __init__(
        self, job: Job, *, checkpoint_seconds: float, processes: int, tracking_uri: str | None
    ) -> None:
        self._job = job
        self._checkpoint_seconds = checkpoint_seconds
        self._processes = processes
        self._tracking_uri = tracking_uri
        self._out = job.folder(_RUN_FOLDER)
        self._resume = Path(job.item.resume) if job.item.resume is not None else None
        self._metrics = MetricsLog(job.workspace / METRICS_FILENAME, resume_folder=self._resume)
        self._checkpoints = CheckpointHandover(job, extra_files=[self._metrics.path])
        self._notes = CardNotes()
        self._stop: Stop | None = None
        self._preview_images = 0
        self._asked_at = time.monotonic()
        self._step_seconds = math.inf

    def run(self) -> ExitStatus:
        spec = TrainingSpec.model_validate(self._job.item.spec)
        config = _parse(spec)
        dataset_folder = self._job.input_path("dataset")
        dataset = PackedDataset.load(dataset_folder)
        self._job.progress(0, config.total_images, "images", at_once=True)
        trackers = trackers_of(self._job, spec.recipe, config, self._tracking_uri)
        with (
            following(self._hooks(), trackers) as followed,
            working_together(self._job, self._crew_size(config)),
        ):
            result = followed.result = train(
                dataset,
                # Progress is the sign of life too; how often it comes does not change the weights.
                config.model_copy(update={"tick_seconds": min(config.tick_seconds, _LONGEST_TICK_SECONDS)}),
                recipe=spec.recipe,
                out=self._out,
                hooks=followed.hooks,
                resume=self._resume,
                checkpoint_seconds=self._checkpoint_seconds,
                provenance=provenance_of(self._job.item),
            )
        if result.status == "stopped":
            return self._end_early(result)
        manifest_sha256 = sha256_of_file(dataset_folder / MANIFEST_FILENAME)
        card = write_model_card(
            self._job,
            dataset,
            result,
            notes=self._notes,
            history=self._metrics.path,
            manifest_sha256=manifest_sha256,
            licence=spec.licence,
            versions=library_versions(),
        )
        if self._job.stop_mode() == "abort":
            return self._job.stop(checkpointed=False)
        return self._publish(dataset, manifest_sha256, result, card)

    def _crew_size(self, config: RecipeConfig) -> int:
        """How many processes share the training out, which its owner is told: the worker's devices are not theirs."""
        most, batch_size = self._processes, config.batch_size
        if most == 1:
            return 1
        size = 1 if config.deterministic else largest_crew(batch_size, most)
        if config.deterministic:
            message = "A deterministic training computes on one device, so that every worker gives the same weights."
        elif size < most:
            message = (
                f"{most} devices cannot share batches of {batch_size} evenly, so {size} of them compute."
            )
        else:
            message = f"Each of {size} devices computes {batch_size // size} of every {batch_size} images."
        facts = {"available": most, "used": size, "batch_size": batch_size, "message": message}
        self._job.event("training.devices", facts)
        return size

    def _hooks(self) -> Hooks:
        return Hooks(
            on_progress=self._on_progress,
            should_stop=self._should_stop,
            on_checkpoint=self._on_checkpoint,
            on_grid=self._on_grid,
            on_event=self._on_event,
        )

    def _should_stop(self) -> Stop | None:
        now = time.monotonic()
        self._step_seconds = min(self._step_seconds, now - self._asked_at)
        self._asked_at = now
        self._job.stay_visible()
        mode = self._job.stop_mode()
        self._stop = Stop(mode) if mode is not None else None
        return self._stop

    def _on_progress(self, progress: Progress) -> None:
        self._metrics.append(progress)
        self._job.progress(
            progress.images_seen,
            progress.total_images,
            "images",
            rate=progress.images_per_second,
            eta_seconds=progress.eta_seconds,
            metrics=progress.metrics,
        )

    def _on_checkpoint(self, folder: Path, images_seen: int) -> None:
        # Since the last question the loop has made one step and written this state: what is more than the
        # shortest step stood still.
        stalled = max(0.0, time.monotonic() - self._asked_at - self._step_seconds)
        self._checkpoints.offer(folder, images_seen, stall_ms=round(stalled * 1000, 1))

    def _on_grid(self, path: Path, images_seen: int) -> None:
        if path.parent == self._out:
            return  # the last one is published with the results
        if images_seen < self._preview_images * _PREVIEW_ADVANCE:
            path.unlink()
            return
        self._preview_images = images_seen
        self._job.artifact(
            "preview", path, index=images_seen, metadata={"images_seen": images_seen}, preview=True
        )

    def _on_event(self, event_type: str, data: Mapping[str, object]) -> None:
        self._notes.take(event_type, data)
        if event_type in _LIFECYCLE_EVENTS:
            return
        self._job.event(f"training.{event_type}", data)

    def _event_file(self) -> Path:
        """The same figures for TensorBoard, over all parts of a run that was resumed."""
        path = self._job.workspace / f"training{SUFFIX}"
        convert_metrics(self._metrics.path, path, ended_at=time.time())
        return path

    def _end_early(self, result: TrainingResult) -> ExitStatus:
        if self._stop is not Stop.CHECKPOINT or result.checkpoint is None:
            return self._job.stop(checkpointed=False)
        stored = self._checkpoints.deliver_last(result.checkpoint, result.images_seen)
        return self._job.stop(checkpointed=stored)

    def _publish(
        self, dataset: PackedDataset, manifest_sha256: str, result: TrainingResult, card: CardFiles
    ) -> ExitStatus:
        """Name the artifacts and end the job well."""
        if result.snapshot is None or result.grid is None:
            raise RuntimeError("a finished training run has a snapshot and a grid")
        # What `auto` chose is what was trained.
        config = parse_config(result.recipe, result.config)
        weights, description = (result.snapshot / f"snapshot.{suffix}" for suffix in ("safetensors", "json"))
        # Whatever is computed from a file comes before the file is named: from then on the supervisor may upload it
        # and remove it at any moment.
        snapshot_sha256, event_file = sha256_of_file(weights), self._event_file()
        images_seen: dict[str, JsonValue] = {"images_seen": result.snapshot_images_seen}
        self._job.artifact("snapshot", weights, index=0, metadata=images_seen)
        self._job.artifact("snapshot", description, index=1)
        self._job.artifact("grid", result.grid, metadata=images_seen)
        self._job.artifact("metrics", self._metrics.path)
        self._job.artifact("metrics", event_file, index=1)
        content = hand_over(self._job, card)
        channels, height, width = dataset.image_shape
        return self._job.finish(
            {
                "recipe": result.recipe,
                "images_seen": result.images_seen,
                "seconds": round(result.seconds, 3),
                "metrics": result.metrics,
                "classes": list(dataset.classes)
                if is_conditional(config, classes=len(dataset.classes))
                else [],
                "image": {"width": width, "height": height, "channels": channels},
                "snapshot_sha256": snapshot_sha256,
                "dataset_manifest_sha256": manifest_sha256,
                "seed": config.seed,
                "card": content,
                **self._notes.environment,
            }
        )
