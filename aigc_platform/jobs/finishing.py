"""Making results visible: exactly one attempt's, in one fenced transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from aigc_platform.jobs.exceptions import InvalidTransitionError, LeaseLostError
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Artifact, AttemptOutcome, Checkpoint, Job
from aigc_platform.jobs.states import LEASED, PUBLISHABLE, JobStatus
from aigc_platform.jobs.transitions import append_event, end_attempt, transition


@dataclass(frozen=True)
class StoredFile:
    """An uploaded object that no row names yet; without a row nobody can see it."""

    role: str
    index: int
    key: str
    sha256: str
    size: int
    media_type: str
    filename: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredCheckpoint:
    """An uploaded training state. `files`: {name: {"key", "sha256", "size"}}."""

    step: int
    files: Mapping[str, Mapping[str, Any]]
    manifest_sha256: str
    size: int
    is_best: bool
    stall_ms: float


def report_finalizing(job: Job, fence: int, *, actor: str) -> None:
    """`starting`/`running` → `finalizing`; a pause or cancel under way keeps its own status.

    Raises:
        LeaseLostError: the job is no longer this holder's.
    """
    with transaction.atomic():
        current = _lock_held(job, fence)
        if current.status in {JobStatus.STARTING, JobStatus.RUNNING}:
            transition(job.pk, JobStatus.FINALIZING, actor=actor, fence=fence)


def complete_job(
    job: Job, fence: int, *, actor: str, files: Sequence[StoredFile], result: Mapping[str, Any]
) -> Job:
    """Publish the attempt's files and end the job as `succeeded`, all or nothing (promise P2).

    Raises:
        LeaseLostError: the fence is not the job's any more; nothing is published.
        InvalidTransitionError: a cancel came first; nothing is published (promise P4).
    """
    with transaction.atomic():
        current = _lock_held(job, fence)
        if current.status not in PUBLISHABLE:
            raise InvalidTransitionError(f"The job is {current.status}, so its results are not published.")
        artifacts = Artifact.objects.bulk_create([_artifact(current, fence, file) for file in files])
        output = get_kind(current.kind).complete(current, artifacts, dict(result))
        end_attempt(job.pk, fence, AttemptOutcome.SUCCEEDED)
        return transition(
            job.pk,
            JobStatus.SUCCEEDED,
            actor=actor,
            fence=fence,
            raise_fence=True,
            data={"artifacts": len(artifacts)},
            output=output,
        )


def publish_preview(job: Job, fence: int, file: StoredFile, *, actor: str) -> None:
    """Show one file while the job runs (a sample grid, say). The first attempt to reach an index keeps it.

    Raises:
        LeaseLostError: the job is no longer this holder's.
    """
    with transaction.atomic():
        _lock_held(job, fence)
        if Artifact.objects.filter(job=job, role=file.role, index=file.index).exists():
            return
        facts = {"role": file.role, "index": file.index, "sha256": file.sha256}
        append_event(job.pk, f"{job.kind}.sample.created", actor=actor, data=facts, fence=fence)
        _artifact(job, fence, file, is_preview=True).save(force_insert=True)


def commit_checkpoint(job: Job, fence: int, checkpoint: StoredCheckpoint, *, actor: str) -> Checkpoint:
    """Make an uploaded training state the one to resume from: this row is the commit.

    Calling it again for the same step changes nothing: the first answer may have been lost on its way.

    Raises:
        LeaseLostError: the job is no longer this holder's; the objects are garbage.
    """
    with transaction.atomic():
        _lock_held(job, fence)
        committed = Checkpoint.objects.filter(job=job, fence=fence, step=checkpoint.step).first()
        if committed is not None:
            return committed
        facts = {"step": checkpoint.step, "size": checkpoint.size, "stall_ms": checkpoint.stall_ms}
        append_event(job.pk, f"{job.kind}.checkpoint.created", actor=actor, data=facts, fence=fence)
        return Checkpoint.objects.create(
            job=job,
            fence=fence,
            step=checkpoint.step,
            files={name: dict(facts) for name, facts in checkpoint.files.items()},
            manifest_sha256=checkpoint.manifest_sha256,
            size=checkpoint.size,
            is_best=checkpoint.is_best,
            stall_ms=checkpoint.stall_ms,
        )


def _lock_held(job: Job, fence: int) -> Job:
    """Return the job's row, locked. Raises `LeaseLostError` unless it is leased under this fence."""
    held = Job.objects.select_for_update(of=("self",)).filter(pk=job.pk, fence=fence, status__in=LEASED)
    current = held.first()
    if current is None:
        raise LeaseLostError
    return current


def _artifact(job: Job, fence: int, file: StoredFile, *, is_preview: bool = False) -> Artifact:
    return Artifact(
        job=job,
        role=file.role,
        index=file.index,
        fence=fence,
        is_preview=is_preview,
        key=file.key,
        sha256=file.sha256,
        size=file.size,
        media_type=file.media_type,
        filename=file.filename,
        metadata=dict(file.metadata),
    )
