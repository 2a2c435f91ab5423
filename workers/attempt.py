"""One claimed job while its runner works: uploads under way, writes to make, how it has to end."""

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal

import structlog

from aigc_platform.common import failpoints
from aigc_platform.common.exceptions import PlatformError
from aigc_platform.jobs import finishing, leases
from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.exceptions import InvalidTransitionError, LeaseLostError
from aigc_platform.jobs.finishing import Completion, StoredCheckpoint, StoredFile
from aigc_platform.jobs.recovery import recover, recover_from_out_of_memory
from aigc_platform.jobs.states import StatusReason
from aigc_platform.jobs.transitions import append_event
from workers.effects import Effects, Shared, flush_together
from workers.failures import JobErrorObject, from_platform_error, unexpected
from workers.heart import Pulse
from workers.publishing import Publisher
from workers.runner.protocol import ArtifactReady, CheckpointReady, Event, Progress
from workers.shared_writes import Completed, Running, complete, report_finalizing, report_running
from workers.workspace import Workspace

log = structlog.get_logger(__name__)

StopCause = Literal["cancel", "pause", "drain", "lost"]

_EVENT_SPACING_SECONDS = 2.0
_MOST_FILES = 100_000
_MOST_EVENTS = 2_000
"""Of the runner's own events an attempt's history takes this many: a flood is a bug, and it stays readable."""
_EVENTS_PER_ATTEMPT = 500
"""Progress lines in the history get rarer as an attempt gets longer, so that a week-long run stays readable."""


class SurplusFileError(Exception):
    """The runner named a file twice, or more files than any job has."""


class AttemptRun:
    """The state of one attempt. All database writes go through `effects`, in order."""

    def __init__(self, claim: Claim, pulse: Pulse, workspace: Workspace, publisher: Publisher) -> None:
        self.claim = claim
        self.pulse = pulse
        self.workspace = workspace
        self.effects = Effects()
        self.stop_cause: StopCause | None = None
        self.stop_deadline = 0.0
        self.has_ended = False
        self.is_ending = False
        """How it ends is decided; uploads and writes may still be on their way."""
        self._publisher = publisher
        self._abandoned = threading.Event()
        self._named: set[tuple[str, int]] = set()
        self._events = 0
        self._uploads: list[Future[StoredFile]] = []
        self._previews: list[Future[StoredFile]] = []
        self._checkpoint: tuple[CheckpointReady, Future[StoredCheckpoint]] | None = None
        self._result: dict[str, Any] | None = None
        self._is_completing = False
        self._started = time.monotonic()
        self._next_progress_event = 0.0

    @property
    def job_id(self) -> str:
        return str(self.claim.job.pk)

    def note_running(self, device: str, runner_pid: int) -> None:
        self._add_shared(report_running, Running(self.claim, device, runner_pid))

    def note_progress(self, progress: Progress) -> None:
        content = progress.model_dump(exclude={"type", "job_id"})
        now = time.monotonic()
        as_event = now >= self._next_progress_event
        if as_event:
            spacing = max(_EVENT_SPACING_SECONDS, (now - self._started) / _EVENTS_PER_ATTEMPT * 4)
            self._next_progress_event = now + spacing
        self.effects.add(
            lambda: leases.report_progress(
                self.claim.job, self.claim.fence, content, actor=self.claim.actor, as_event=as_event
            ),
            replaces="" if as_event else "progress",
        )

    def note_event(self, event: Event) -> None:
        self._events += 1
        if self._events > _MOST_EVENTS:
            log.warning("event_dropped", job=self.job_id, type=event.event)
            return
        self.effects.add(
            lambda: _discard(
                append_event(
                    self.claim.job.pk,
                    event.event,
                    actor=self.claim.actor,
                    data=event.data,
                    fence=self.claim.fence,
                )
            )
        )

    def take_artifact(self, artifact: ArtifactReady) -> None:
        """Start its upload.

        Raises:
            UnsafePathError: the path is not the runner's to name.
            SurplusFileError: the file was named before, or there are too many.
        """
        place = (artifact.role, artifact.index)
        if place in self._named:
            raise SurplusFileError(f"The runner named the file {artifact.role} {artifact.index} twice.")
        if len(self._named) >= _MOST_FILES:
            raise SurplusFileError(f"The runner named more than {_MOST_FILES:,} files.")
        self._named.add(place)
        upload = self._publisher.upload_artifact(self.claim, self.workspace, artifact, self._abandoned)
        (self._previews if artifact.preview else self._uploads).append(upload)

    def take_checkpoint(self, checkpoint: CheckpointReady) -> None:
        """Start its upload. Raises `UnsafePathError` as above."""
        upload = self._publisher.upload_checkpoint(self.claim, self.workspace, checkpoint, self._abandoned)
        self._checkpoint = (checkpoint, upload)

    def take_result(self, result: dict[str, Any]) -> None:
        """The runner is done: once its files are stored, publish them."""
        if self.has_ended or self._result is not None:
            return
        self._result = result
        self.is_ending = True
        if not self._is_stored():
            self._add_shared(report_finalizing, self.claim)

    def gather(self, checkpoint_done: Callable[[CheckpointReady, bool], None]) -> None:
        """Turn uploads that are done into writes, and the last of them into the end.

        Args:
            checkpoint_done: tells the runner that a checkpoint is committed (or was given up).
        """
        self._commit_previews()
        self._commit_checkpoint(checkpoint_done)
        self._complete_when_stored()

    def flush(self) -> None:
        """Write to the database what is due; what it refuses ends the attempt."""
        try:
            self.effects.flush()
        except LeaseLostError:
            self.lose()
        except PlatformError as error:
            log.warning("attempt_refused", job=self.job_id, code=error.code, error=error.message)
            self.fail(StatusReason.CODE_ERROR, from_platform_error(error))
        except Exception:
            log.exception("attempt_write_failed", job=self.job_id)
            self.fail(StatusReason.CODE_ERROR, unexpected())

    def fail(self, reason: StatusReason, error: JobErrorObject, exit_code: int | None = None) -> None:
        self._end_with(
            lambda: leases.fail_job(
                self.claim.job,
                self.claim.fence,
                actor=self.claim.actor,
                reason=reason,
                error=error,
                exit_code=exit_code,
            )
        )

    def run_again(self, reason: StatusReason, error: JobErrorObject, exit_code: int | None = None) -> None:
        """Spend a recovery; `error` is what the owner reads if none is left."""
        self._end_with(
            lambda: recover(
                self.claim.job,
                self.claim.fence,
                actor=self.claim.actor,
                reason=reason,
                error=error,
                exit_code=exit_code,
            )
        )

    def run_with_less_memory(self, error: JobErrorObject, *, was_alone: bool) -> None:
        """Memory ran out: try once more where that can help, else fail."""
        self._end_with(
            lambda: recover_from_out_of_memory(
                self.claim.job, self.claim.fence, actor=self.claim.actor, error=error, was_alone=was_alone
            )
        )

    def keep_log(self, name: str, text: str) -> None:
        """Show a text beside the job's outputs, if the store takes it at once: it must not delay what follows."""
        try:
            file = self._publisher.store_log(self.claim, name, text)
        except PlatformError as error:
            log.warning("log_not_kept", job=self.job_id, error=error.message)
            return
        self.effects.add(
            lambda: finishing.publish_preview(self.claim.job, self.claim.fence, file, actor=self.claim.actor)
        )

    def give_back(self, reason: StatusReason = StatusReason.DRAINED) -> None:
        """Nothing is wrong with the job: someone else goes on, and no recovery is spent."""
        self._end_with(
            lambda: leases.requeue(
                self.claim.job,
                self.claim.fence,
                actor=self.claim.actor,
                reason=reason,
                spends_recovery=False,
            )
        )

    def confirm_stop(self) -> None:
        """The runner has stopped as asked, or is gone: say so."""
        if self.stop_cause == "cancel":
            self._end_with(
                lambda: leases.confirm_canceled(self.claim.job, self.claim.fence, actor=self.claim.actor)
            )
        elif self.stop_cause == "pause":
            self._end_with(
                lambda: leases.confirm_paused(self.claim.job, self.claim.fence, actor=self.claim.actor)
            )
        elif self.stop_cause == "drain":
            self.give_back()

    def lose(self) -> None:
        """Someone else has the job: publish nothing, write nothing."""
        self.stop_cause = "lost"
        self._abandoned.set()
        self.effects.clear()
        self.has_ended = True

    def close(self) -> None:
        """Forget the attempt's files."""
        self._abandoned.set()
        self.workspace.remove()

    def _commit_previews(self) -> None:
        for upload in [upload for upload in self._previews if upload.done()]:
            self._previews.remove(upload)
            if upload.exception() is None:
                file = upload.result()
                self.effects.add(
                    lambda file=file: finishing.publish_preview(  # type: ignore[misc]  # mypy cannot type defaults
                        self.claim.job, self.claim.fence, file, actor=self.claim.actor
                    )
                )

    def _commit_checkpoint(self, checkpoint_done: Callable[[CheckpointReady, bool], None]) -> None:
        if self._checkpoint is None or not self._checkpoint[1].done():
            return
        checkpoint, upload = self._checkpoint
        self._checkpoint = None
        shutil.rmtree(self.workspace.path / checkpoint.folder, ignore_errors=True)
        error = upload.exception()
        if error is not None:
            log.error("checkpoint_upload_failed", job=self.job_id, step=checkpoint.step, error=repr(error))
            checkpoint_done(checkpoint, False)
            return

        def commit() -> None:
            failpoints.reach("checkpoint.uploaded")
            finishing.commit_checkpoint(
                self.claim.job, self.claim.fence, upload.result(), actor=self.claim.actor
            )
            failpoints.reach("checkpoint.committed")
            checkpoint_done(checkpoint, True)

        self.effects.add(commit)

    def _complete_when_stored(self) -> None:
        if self._result is None or self._is_completing or not self._is_stored():
            return
        self._is_completing = True
        error = next((upload.exception() for upload in self._uploads if upload.exception()), None)
        if error is not None:
            log.error("upload_failed", job=self.job_id, error=repr(error))
            self.run_again(StatusReason.STORAGE_ERROR, _storage_error(error))
            return
        files = [upload.result() for upload in self._uploads]
        done = Completion(self.claim.job, self.claim.fence, files=files, result=self._result)
        part = Completed(self.claim, done)
        self._end_with(lambda: self._complete(part), Shared(complete, part, self._note_end))

    def _is_stored(self) -> bool:
        return all(upload.done() for upload in self._uploads)

    def _complete(self, part: Completed) -> None:
        try:
            complete([part])
        except InvalidTransitionError:
            # A cancel was written before our results: it wins, and nothing of them becomes visible.
            leases.confirm_canceled(self.claim.job, self.claim.fence, actor=self.claim.actor)

    def _end_with(self, write: Callable[[], object], shared: Shared | None = None) -> None:
        self.is_ending = True
        self._abandon_unless_completing()

        def end() -> None:
            write()
            self._note_end()

        self.effects.add(end, shared=shared)

    def _note_end(self) -> None:
        self.has_ended = True

    def _add_shared(self, write: Callable[[Sequence[Any]], object], part: object) -> None:
        """Queue a write that needs nothing else to follow, to be made alone or with other attempts'."""
        self.effects.add(lambda: _discard(write([part])), shared=Shared(write, part, lambda: None))

    def _abandon_unless_completing(self) -> None:
        if not self._is_completing:
            self._abandoned.set()


def advance(runs: Sequence[AttemptRun], checkpoint_done: Callable[[CheckpointReady, bool], None]) -> None:
    """Do what has become possible for these attempts of one worker, and write what they share together."""
    for run in runs:
        run.gather(checkpoint_done)
    flush_together([run.effects for run in runs])
    for run in runs:
        run.flush()


def _storage_error(error: BaseException) -> JobErrorObject:
    return {
        "code": getattr(error, "code", "storage.error"),
        "message": "The results could not be stored.",
        "errors": [],
    }


def _discard(_: object) -> None:
    """Effects return nothing."""
