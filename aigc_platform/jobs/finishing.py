"""Making results visible: exactly one attempt's, in one fenced transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, JSONField, Value, When

from aigc_platform.jobs.exceptions import InvalidTransitionError
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.leases import Hold, lock_held
from aigc_platform.jobs.models import Artifact, AttemptOutcome, Checkpoint, Job
from aigc_platform.jobs.states import PUBLISHABLE, JobStatus
from aigc_platform.jobs.transitions import append_event, end_attempts, move


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
class Completion:
    """What an attempt made: its uploaded files, and the runner's result."""

    job: Job
    fence: int
    files: Sequence[StoredFile]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class StoredCheckpoint:
    """An uploaded training state. `files`: {name: {"key", "sha256", "size"}}."""

    step: int
    files: Mapping[str, Mapping[str, Any]]
    manifest_sha256: str
    size: int
    is_best: bool
    stall_ms: float


def report_finalizing(holds: Sequence[Hold], *, actor: str) -> None:
    """`starting`/`running` → `finalizing`; a pause or cancel under way keeps its own status.

    Raises:
        LeaseLostError: one of them is no longer its holder's; nothing is written.
    """
    with transaction.atomic():
        working = [job for job in lock_held(holds) if job.status in {JobStatus.STARTING, JobStatus.RUNNING}]
        if working:
            move(working, JobStatus.FINALIZING, actor=actor)


def complete_jobs(completions: Sequence[Completion], *, actor: str) -> list[Job]:
    """Publish the files of an attempt of each and end the jobs as `succeeded`, all or nothing (promise P2).

    Raises:
        LeaseLostError: the fence of one is not the job's any more; nothing is published.
        InvalidTransitionError: a cancel of one came first; nothing is published (promise P4).
    """
    with transaction.atomic():
        held = lock_held([(done.job, done.fence) for done in completions])
        for job in held:
            if job.status not in PUBLISHABLE:
                raise InvalidTransitionError(f"The job is {job.status}, so its results are not published.")
        artifacts = defaultdict(list)
        for artifact in Artifact.objects.bulk_create(
            _artifact(job, job.fence, file)
            for job, done in zip(held, completions, strict=True)
            for file in done.files
        ):
            artifacts[artifact.job_id].append(artifact)
        outputs = {
            job.pk: get_kind(job.kind).complete(job, artifacts[job.pk], dict(done.result))
            for job, done in zip(held, completions, strict=True)
        }
        end_attempts(held, AttemptOutcome.SUCCEEDED)
        return move(
            held,
            JobStatus.SUCCEEDED,
            actor=actor,
            raise_fence=True,
            facts=lambda job: {"artifacts": len(artifacts[job.pk])},
            output=_by_job(outputs),
        )


def _by_job(outputs: Mapping[UUID, Mapping[str, Any]]) -> Case:
    """Return the SQL expression for each job's own output."""
    return Case(
        *(When(pk=pk, then=Value(output, JSONField())) for pk, output in outputs.items()),
        output_field=JSONField(),
    )


def publish_preview(job: Job, fence: int, file: StoredFile, *, actor: str) -> None:
    """Show one file while the job runs (a sample grid, say). The first attempt to reach an index keeps it.

    Raises:
        LeaseLostError: the job is no longer this holder's.
    """
    with transaction.atomic():
        lock_held([(job, fence)])
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
        lock_held([(job, fence)])
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
