"""One job as its handler sees it: its workspace, and what it says about itself."""

import json
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from workers.runner import failures
from workers.runner.channel import Channel, StopMode
from workers.runner.protocol import (
    ArtifactReady,
    CheckpointReady,
    Event,
    ExitStatus,
    Failed,
    Finished,
    JobItem,
    Progress,
    Start,
    Stopped,
)

_PROGRESS_SECONDS = 0.9
"""Shortest time between two reports; a little below the second that training reports at."""
_SILENCE_SECONDS = 1.5
"""Longest time without one while work goes on."""

_MEDIA_TYPES = {
    ".png": "image/png",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".zip": "application/zip",
    ".safetensors": "application/vnd.safetensors",
    ".tfevents": "application/octet-stream",
}


class Job:
    """Speaks for one job over the channel. Must be brought to an end: finish, stop or fail, the first counts."""

    def __init__(self, item: JobItem, channel: Channel) -> None:
        self.item = item
        self.id = item.job_id
        self.workspace = Path(item.workspace)
        self._channel = channel
        self._last_progress: Progress | None = None
        self._progress_sent_at = -math.inf
        self._is_progress_held_back = False
        self._end_lock = threading.Lock()
        self._has_ended = False

    def stop_mode(self) -> StopMode | None:
        """How the supervisor wants this job stopped, if it does. Cheap."""
        return self._channel.stop_mode(self.id)

    def input_path(self, name: str) -> Path:
        """Where the supervisor put this input.

        Raises:
            JobError: it did not.
        """
        try:
            return Path(self.item.inputs[name])
        except KeyError:
            raise failures.JobError(
                "code_error", "runner.input_missing", f"The worker got no input {name!r} for this job."
            ) from None

    def folder(self, name: str) -> Path:
        """A folder inside the workspace, made if need be."""
        path = self.workspace / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def progress(
        self,
        current: float,
        total: float | None,
        unit: str,
        *,
        rate: float | None = None,
        eta_seconds: float | None = None,
        metrics: Mapping[str, float] | None = None,
        at_once: bool = False,
    ) -> None:
        """Report progress, at most about once a second unless `at_once`; one held back is sent at the end.

        JSON has no NaN and no infinity: figures that are not finite are left out.
        """
        self._last_progress = Progress(
            job_id=self.id,
            current=current,
            total=total,
            unit=unit,
            rate=_finite_or_none(rate),
            eta_seconds=_finite_or_none(eta_seconds),
            metrics={name: value for name, value in (metrics or {}).items() if math.isfinite(value)},
        )
        self._is_progress_held_back = True
        self._send_progress_after(0.0 if at_once else _PROGRESS_SECONDS)

    def stay_visible(self) -> None:
        """Repeat the last progress if there was none for a while: it is also the sign that work is alive."""
        self._send_progress_after(_SILENCE_SECONDS)

    def _send_progress_after(self, seconds: float) -> None:
        now = time.monotonic()
        if self._last_progress is not None and now - self._progress_sent_at >= seconds:
            self._progress_sent_at = now
            self._is_progress_held_back = False
            self._channel.send(self._last_progress)

    def event(self, name: str, data: Mapping[str, object]) -> None:
        """Put a line into the job's event log."""
        self._channel.send(Event(job_id=self.id, event=name, data=json_object(data)))

    def artifact(
        self,
        role: str,
        path: Path,
        *,
        index: int = 0,
        filename: str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        preview: bool = False,
    ) -> None:
        """Name a finished output file, which must lie in the workspace and not change any more."""
        self._channel.send(
            ArtifactReady(
                job_id=self.id,
                role=role,
                index=index,
                path=str(path.relative_to(self.workspace)),
                media_type=_MEDIA_TYPES[path.suffix],
                filename=filename or path.name,
                metadata=dict(metadata or {}),
                preview=preview,
            )
        )

    def checkpoint(self, folder: Path, step: int, *, stall_ms: float) -> None:
        """Hand over a training state; `wait_for_checkpoint` tells what became of it."""
        self._channel.send(
            CheckpointReady(
                job_id=self.id,
                folder=str(folder.relative_to(self.workspace)),
                step=step,
                stall_ms=stall_ms,
            )
        )

    def wait_for_checkpoint(self, step: int, *, timeout_seconds: float) -> bool | None:
        """Whether the checkpoint at `step` was committed; None if that is not known in time."""
        return self._channel.wait_for_checkpoint(self.id, step, timeout_seconds=timeout_seconds)

    def finish(self, result: Mapping[str, object]) -> ExitStatus:
        """End the job well; every artifact has been named."""
        if self._is_progress_held_back:
            self._send_progress_after(0.0)
        self._end(Finished(job_id=self.id, result=json_object(result)))
        return ExitStatus.DONE

    def stop(self, *, checkpointed: bool) -> ExitStatus:
        """End the job because the supervisor asked for it."""
        self._end(Stopped(job_id=self.id, checkpointed=checkpointed))
        return ExitStatus.YIELDED if checkpointed else ExitStatus.DONE

    def fail(self, error: BaseException) -> ExitStatus:
        """End the job because of this error."""
        failed = failures.describe(self.id, error)
        self._end(failed)
        return failures.exit_status(failed.reason)

    def _end(self, message: Finished | Stopped | Failed) -> None:
        with self._end_lock:
            if not self._has_ended:
                self._has_ended = True
                self._channel.send(message)


def only_job(start: Start, channel: Channel) -> Job:
    """The one job of a start of a kind that runs alone; any further ones fail."""
    first, *surplus = (Job(item, channel) for item in start.items)
    for job in surplus:
        job.fail(failures.JobError("code_error", "runner.not_a_group", "Jobs of this kind run alone."))
    return first


def json_object(document: Mapping[str, object]) -> dict[str, JsonValue]:
    """The document as plain JSON: tuples become lists, paths and others text, non-finite numbers null."""
    plain: dict[str, JsonValue] = json.loads(json.dumps(_without_non_finite(dict(document)), default=str))
    return plain


def _without_non_finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _without_non_finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_non_finite(entry) for entry in value]
    return value


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
