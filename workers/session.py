"""A runner and the jobs it runs, from Start to the last end. One session holds one group of claims."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from django.conf import settings

from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.states import DesiredState, StatusReason
from workers.attempt import AttemptRun, StopCause, SurplusFileError, advance
from workers.bell import Bell
from workers.failures import error_object, from_runner_death, from_runner_failure, runner_stalled
from workers.heart import Heart
from workers.runner.protocol import (
    ArtifactReady,
    CheckpointDone,
    CheckpointReady,
    Event,
    Failed,
    Finished,
    JobItem,
    Progress,
    Ready,
    Start,
    Stop,
    Stopped,
)
from workers.runner_process import FromRunnerMessage, RunnerDiedError, RunnerProcess, RunnerProtocolError
from workers.workspace import UnsafePathError

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.1
_MOST_AT_ONCE = 100
_ORPHAN_GRACE_SECONDS = 5.0
_LOG_TAIL_CHARACTERS = 4000
_LOG_LAG_SECONDS = 0.2


class Session:
    """Drives one runner through one `Start`.

    Args:
        items: what to start; an attempt of `runs` each, in the same order.
        draining: set when this worker should give its jobs back.
        bell: rung when an upload has ended.
        stall_seconds: a runner that owes an end and says nothing for this long is taken for stuck.
        processes: how many the runner may share its work out to.
        tracking_uri: of the MLflow server that follows the jobs, if one does.
    """

    def __init__(
        self,
        runner: RunnerProcess,
        runs: Sequence[AttemptRun],
        items: Sequence[JobItem],
        *,
        heart: Heart,
        draining: threading.Event,
        bell: Bell,
        checkpoint_seconds: float,
        stall_seconds: float,
        processes: int = 1,
        tracking_uri: str | None = None,
    ) -> None:
        self._runner = runner
        self._runs = {run.job_id: run for run in runs}
        self._items = list(items)
        self._heart = heart
        self._draining = draining
        self._bell = bell
        self._checkpoint_seconds = checkpoint_seconds
        self._stall_seconds = stall_seconds
        self._processes = processes
        self._tracking_uri = tracking_uri
        self._heard_at = time.monotonic()
        self._orphans: set[str] = set()
        self._orphans_since = 0.0
        self._unheard = set(self._runs)
        """Jobs whose last message (finished, stopped, failed) has not come yet."""
        self._started: set[str] = set()
        self._handlers: dict[type, Callable[..., None]] = {
            Progress: self._on_progress,
            Event: self._on_event,
            ArtifactReady: self._on_artifact,
            CheckpointReady: self._on_checkpoint,
            Finished: self._on_finished,
            Stopped: self._on_stopped,
            Failed: self._on_failed,
        }

    def run(self) -> bool:
        """Run until every attempt has ended in the database.

        Returns:
            Whether the runner lives and waits for the next `Start`.
        """
        try:
            self._runner.send(
                Start(
                    items=self._items,
                    checkpoint_seconds=self._checkpoint_seconds,
                    processes=self._processes,
                    tracking_uri=self._tracking_uri,
                )
            )
            self._converse()
        except RunnerDiedError as death:
            self._on_death(death)
        except (RunnerProtocolError, UnsafePathError, SurplusFileError) as error:
            self._on_misbehaviour(error)
        self._finish_writes()
        return self._runner.is_alive() and not self._unheard

    def _converse(self) -> None:
        while self._unheard or self._open_runs():
            self._hear()
            self._mind_silence()
            advance(self._open_runs(), self._checkpoint_done)
            self._mind_wishes()
            self._mind_orphans()

    def _hear(self) -> None:
        """Take what the runner has said by now, that its jobs' writes can be made together; wait a little for it."""
        message = self._runner.receive(_POLL_SECONDS, wake=self._bell)
        for _ in range(_MOST_AT_ONCE):
            if message is None:
                return
            self._heard_at = time.monotonic()
            self._dispatch(message)
            message = self._runner.receive(0.0)
        if message is not None:
            self._dispatch(message)

    def _open_runs(self) -> list[AttemptRun]:
        return [run for run in self._runs.values() if not run.has_ended]

    def _undecided_runs(self) -> list[AttemptRun]:
        """Return the attempts that will not end unless somebody decides how."""
        return [run for run in self._open_runs() if not run.is_ending]

    def _dispatch(self, message: FromRunnerMessage) -> None:
        if isinstance(message, Ready):
            return
        run = self._runs.get(message.job_id)
        if run is None:
            raise RunnerProtocolError(
                f"The runner spoke of the job {message.job_id!r}, which is not its own."
            )
        if message.job_id not in self._started:
            self._started.add(message.job_id)
            run.note_running(self._runner.device, self._runner.pid)
        self._handlers[type(message)](run, message)

    def _on_progress(self, run: AttemptRun, message: Progress) -> None:
        run.note_progress(message)

    def _on_event(self, run: AttemptRun, message: Event) -> None:
        run.note_event(message)

    def _on_artifact(self, run: AttemptRun, message: ArtifactReady) -> None:
        if not run.has_ended:
            run.take_artifact(message)

    def _on_checkpoint(self, run: AttemptRun, message: CheckpointReady) -> None:
        if not run.has_ended:
            run.take_checkpoint(message)

    def _on_finished(self, run: AttemptRun, message: Finished) -> None:
        self._unheard.discard(message.job_id)
        run.take_result(message.result)

    def _on_stopped(self, run: AttemptRun, message: Stopped) -> None:
        if run.stop_cause is None:
            raise RunnerProtocolError("The runner stopped a job that nobody asked it to stop.")
        self._unheard.discard(message.job_id)
        run.confirm_stop()

    def _on_failed(self, run: AttemptRun, message: Failed) -> None:
        self._unheard.discard(message.job_id)
        if message.reason == "code_error":
            # Its owner reads one sentence; the operator needs the traceback, which ends with the runner and comes
            # by another pipe.
            time.sleep(_LOG_LAG_SECONDS)
            log.error("runner_failed", job=message.job_id, code=message.code, log_tail=self._log_tail())
        error = from_runner_failure(message)
        if run.stop_cause in {"cancel", "drain"}:
            run.confirm_stop()
        elif message.reason in {"storage_error", "worker_lost"}:
            run.run_again(StatusReason(message.reason), error)
        elif message.reason == "out_of_memory":
            run.run_with_less_memory(error, was_alone=len(self._runs) == 1)
        else:
            run.fail(StatusReason(message.reason), error)

    def _checkpoint_done(self, checkpoint: CheckpointReady, committed: bool) -> None:
        if self._runner.is_alive():
            self._runner.send(
                CheckpointDone(job_id=checkpoint.job_id, step=checkpoint.step, committed=committed)
            )

    def _mind_silence(self) -> None:
        """End a runner that says nothing any more, and keep what it was doing as a file of its jobs."""
        if not self._unheard or time.monotonic() - self._heard_at < self._stall_seconds:
            return
        stacks = self._runner.stacks()
        log.warning("runner_stalled", jobs=sorted(self._unheard), silent_seconds=round(self._stall_seconds))
        exit_code = self._runner.kill()
        for run in self._undecided_runs():
            if run.stop_cause is not None:
                run.confirm_stop()
                continue
            run.keep_log("stacks", stacks)
            run.run_again(StatusReason.WORKER_LOST, runner_stalled(self._stall_seconds), exit_code)
        self._unheard.clear()
        raise RunnerDiedError(exit_code)

    def _mind_wishes(self) -> None:
        """Pass on what owners and operators want, and end what does not stop in time."""
        now = time.monotonic()
        for run in self._open_runs():
            if run.pulse.is_lost or self._heart.has_given_up:
                run.lose()
                continue
            cause = self._wish(run)
            if cause is not None and _outranks(cause, run.stop_cause):
                self._ask_to_stop(run, cause)
            if run.stop_cause is not None and run.job_id in self._unheard and now > run.stop_deadline:
                log.warning("runner_does_not_stop", job=run.job_id, cause=run.stop_cause)
                raise RunnerDiedError(self._runner.kill())

    def _wish(self, run: AttemptRun) -> StopCause | None:
        if run.pulse.desired is DesiredState.CANCEL:
            return "cancel"
        if run.pulse.desired is DesiredState.PAUSE:
            return "pause"
        return "drain" if self._draining.is_set() else None

    def _ask_to_stop(self, run: AttemptRun, cause: StopCause) -> None:
        if run.job_id not in self._unheard:
            return
        keeps_work = cause != "cancel" and get_kind(run.claim.job.kind).resumable
        run.stop_cause = cause
        grace = settings.CHECKPOINT_GRACE_SECONDS if keeps_work else settings.CANCEL_GRACE_SECONDS
        run.stop_deadline = time.monotonic() + grace
        self._stop_runner_job(run, "checkpoint" if keeps_work else "abort")

    def _stop_runner_job(self, run: AttemptRun, mode: str) -> None:
        if run.job_id in self._unheard:
            self._runner.send(Stop.model_validate({"mode": mode, "job_id": run.job_id}))

    def _mind_orphans(self) -> None:
        """Stop work whose attempt has ended already; a runner that does nothing else gets a few seconds for it."""
        orphans = {job_id for job_id in self._unheard if self._runs[job_id].has_ended}
        for job_id in orphans - self._orphans:
            self._stop_runner_job(self._runs[job_id], "abort")
            self._orphans_since = time.monotonic()
        self._orphans = orphans
        if (
            orphans
            and not self._open_runs()
            and time.monotonic() - self._orphans_since > _ORPHAN_GRACE_SECONDS
        ):
            raise RunnerDiedError(self._runner.kill())

    def _on_death(self, death: RunnerDiedError) -> None:
        log.warning(
            "runner_died",
            jobs=sorted(self._unheard),
            exit_code=death.exit_code,
            log_tail=self._log_tail(),
        )
        self._runner.kill()
        for run in self._undecided_runs():
            if run.stop_cause is not None:
                run.confirm_stop()
            else:
                run.run_again(StatusReason.WORKER_LOST, from_runner_death(death), death.exit_code)

    def _log_tail(self) -> str:
        return self._runner.log_tail().decode(errors="replace")[-_LOG_TAIL_CHARACTERS:]

    def _on_misbehaviour(self, error: Exception) -> None:
        exit_code = self._runner.kill()
        log.error("runner_misbehaved", error=str(error), jobs=sorted(self._unheard), exit_code=exit_code)
        for run in self._undecided_runs():
            run.fail(StatusReason.CODE_ERROR, error_object("runner.protocol", str(error)), exit_code)

    def _finish_writes(self) -> None:
        """The runner is gone or idle: see the remaining uploads and writes through."""
        while runs := self._open_runs():
            for run in runs:
                if run.pulse.is_lost or self._heart.has_given_up:
                    run.lose()
            advance(runs, lambda _checkpoint, _committed: None)
            time.sleep(_POLL_SECONDS / 5)
        for run in self._runs.values():
            run.close()


def _outranks(cause: StopCause, present: StopCause | None) -> bool:
    """A cancel overrides a pause or drain under way; nothing else interrupts a stop."""
    return present is None or (cause == "cancel" and present in {"pause", "drain"})
