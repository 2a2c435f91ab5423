"""What people do with jobs: submit, cancel, pause, resume, retry. Every call is one transaction."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from pydantic import BaseModel

from aigc_platform.accounts.models import User
from aigc_platform.jobs.depth import refuse_if_full
from aigc_platform.jobs.exceptions import (
    FilesInUseError,
    IdempotencyMismatchError,
    InvalidTransitionError,
    JobNotFoundError,
    NotResumableError,
)
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Job, OwnerShare
from aigc_platform.jobs.outbox import notify, write_ring
from aigc_platform.jobs.states import LEASED, TERMINAL, DesiredState, JobStatus, StatusReason
from aigc_platform.jobs.transitions import append_event, first_event, transition

NUDGE_CHANNEL = "aigc_nudge"
"""NOTIFY channel with a job id as payload: its worker looks at once, not at its next beat."""


@dataclass(frozen=True)
class Submission:
    """What a caller may say about a job beside its spec.

    Attributes:
        priority: higher is claimed first; 0 is normal.
        labels: the user's own tags.
        idempotency_key: same key and same `request_sha256` give the first job again.
        request_sha256: fingerprint of the request that led here.
        start_within_seconds: not started by then ⇒ `expired`.
        run_timeout_seconds: running longer than that ⇒ `failed` with reason `deadline`.
        group_key: jobs of one kind with the same key may share a runner's work.
    """

    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    request_sha256: str = ""
    start_within_seconds: int | None = None
    run_timeout_seconds: int | None = None
    group_key: str = ""
    retried_from: Job | None = None


def spec_sha256(spec: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the spec's canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def find_replay(*, owner: User, idempotency_key: str | None, request_sha256: str) -> Job | None:
    """Return the job that an earlier request with this key made, if any.

    Raises:
        IdempotencyMismatchError: the key was used with another body.
    """
    if idempotency_key is None:
        return None
    job = Job.objects.filter(owner=owner, idempotency_key=idempotency_key).first()
    if job is not None and job.request_sha256 != request_sha256:
        raise IdempotencyMismatchError
    return job


def submit_job(*, owner: User, kind: str, spec: BaseModel, submission: Submission | None = None) -> Job:
    """Insert a queued job, its first event and the ring for its queue, in one transaction.

    The answer is durable: once this returns, only the loss of PostgreSQL can lose the job (promise P1).

    Raises:
        IdempotencyMismatchError: the key was used with another body.
        QueueFullError: `QUEUE_MAX_JOBS` wait already.
    """
    submission = submission or Submission()
    replay = find_replay(
        owner=owner, idempotency_key=submission.idempotency_key, request_sha256=submission.request_sha256
    )
    if replay is not None:
        return replay
    refuse_if_full(get_kind(kind).queue)
    try:
        with transaction.atomic():
            return _insert_job(owner, kind, spec, submission)
    except IntegrityError:
        # Two requests with one key at the same moment: the other one inserted first.
        raced = find_replay(
            owner=owner, idempotency_key=submission.idempotency_key, request_sha256=submission.request_sha256
        )
        if raced is None:
            raise
        return raced


def _insert_job(owner: User, kind_name: str, spec: BaseModel, submission: Submission) -> Job:
    kind = get_kind(kind_name)
    content = spec.model_dump(mode="json")
    start_within = submission.start_within_seconds
    job = Job.objects.create(
        owner=owner,
        kind=kind.name,
        queue=kind.queue,
        spec=content,
        spec_sha256=spec_sha256(content),
        idempotency_key=submission.idempotency_key,
        request_sha256=submission.request_sha256,
        group_key=submission.group_key,
        priority=submission.priority,
        labels=dict(submission.labels),
        start_deadline_at=None if start_within is None else Now() + timedelta(seconds=start_within),
        run_timeout_seconds=submission.run_timeout_seconds,
        retried_from=submission.retried_from,
        event_seq=1,
    )
    OwnerShare.objects.bulk_create([OwnerShare(owner=owner)], ignore_conflicts=True)
    first_event(job, actor=f"user:{owner.pk}", data={"spec_sha256": job.spec_sha256})
    write_ring(kind.queue)
    job.refresh_from_db()
    return job


def request_cancel(job_id: UUID, *, actor: str, reason: StatusReason = StatusReason.USER) -> Job:
    """Cancel a job: at once if no worker holds it, else by asking its worker. Idempotent.

    Precondition: any status. Result: `canceled`, `canceling`, or unchanged if it has ended.
    """
    with transaction.atomic():
        job = _lock(job_id)
        if job.status in TERMINAL or job.status == JobStatus.CANCELING:
            return job
        if job.status in LEASED:
            return request_stop(job_id, actor=actor, reason=reason)
        return transition(job_id, JobStatus.CANCELED, actor=actor, reason=reason, desired=DesiredState.CANCEL)


def request_stop(job_id: UUID, *, actor: str, reason: StatusReason) -> Job:
    """Ask a job's holder to stop it for this reason: leased → `canceling`.

    Raises:
        InvalidTransitionError: nobody holds it, or it is being canceled already.
    """
    with transaction.atomic():
        job = transition(
            job_id,
            JobStatus.CANCELING,
            actor=actor,
            reason=reason,
            desired=DesiredState.CANCEL,
        )
        notify(NUDGE_CHANNEL, str(job_id))
        return job


def request_pause(job_id: UUID, *, actor: str) -> Job:
    """Pause a job: at once while it is queued, else after its worker has written a checkpoint. Idempotent.

    Raises:
        NotResumableError: this kind of job keeps no checkpoints.
        InvalidTransitionError: it has ended or is being canceled.
    """
    with transaction.atomic():
        job = _lock(job_id)
        if job.status in {JobStatus.PAUSED, JobStatus.PAUSING}:
            return job
        held = job.status in LEASED
        if held and not get_kind(job.kind).resumable:
            raise NotResumableError
        job = transition(
            job_id,
            JobStatus.PAUSING if held else JobStatus.PAUSED,
            actor=actor,
            reason=StatusReason.USER,
            desired=DesiredState.PAUSE,
        )
        if held:
            notify(NUDGE_CHANNEL, str(job_id))
        return job


def resume_job(job_id: UUID, *, actor: str) -> Job:
    """Queue a paused job again; it goes on from its last checkpoint. Idempotent for a job that waits or runs.

    Raises:
        InvalidTransitionError: it has ended, or a pause or cancel is still under way.
    """
    with transaction.atomic():
        job = _lock(job_id)
        if job.status in {JobStatus.QUEUED, JobStatus.STARTING, JobStatus.RUNNING, JobStatus.FINALIZING}:
            return job
        if job.status != JobStatus.PAUSED:
            raise InvalidTransitionError(f"The job is {job.status}, so it cannot be resumed.")
        job = transition(
            job_id, JobStatus.QUEUED, actor=actor, desired=DesiredState.RUN, run_at=Now(), queued_at=Now()
        )
        write_ring(job.queue)
        return job


def retry_job(
    job_id: UUID,
    *,
    actor_user: User,
    role: Literal["user", "admin"] = "user",
    idempotency_key: str | None = None,
    request_sha256: str = "",
) -> Job:
    """Submit an ended job's spec again as a new job linked by `retried_from`. Idempotent.

    With a key, the same key gives the same new job for ever. Without one, a retry that has not ended yet is returned
    in place of another: a request that was sent twice makes one job.

    Args:
        actor_user: who asks for it, not always the owner.
        role: in which capacity, for the event log.
        idempotency_key, request_sha256: as of a `Submission`.

    Raises:
        InvalidTransitionError: the job has not ended yet.
        IdempotencyMismatchError: the key was used with another request.
        QueueFullError: as `submit_job`.
    """
    # One transaction: a worker must not see, let alone end, the new job before its history is complete. The lock
    # makes two retries of one job take turns.
    with transaction.atomic():
        job = _lock(job_id)
        if not job.is_terminal:
            raise InvalidTransitionError(f"The job is {job.status}; cancel it first, or wait until it ends.")
        if idempotency_key is None:
            earlier = job.retries.exclude(status__in=TERMINAL).order_by("created_at").first()
        else:
            earlier = find_replay(
                owner=job.owner, idempotency_key=idempotency_key, request_sha256=request_sha256
            )
        if earlier is not None:
            return earlier
        spec = get_kind(job.kind).spec_type.model_validate(job.spec)
        submission = Submission(
            priority=job.priority,
            labels=job.labels,
            run_timeout_seconds=job.run_timeout_seconds,
            group_key=job.group_key,
            retried_from=job,
            idempotency_key=idempotency_key,
            request_sha256=request_sha256,
        )
        new = submit_job(owner=job.owner, kind=job.kind, spec=spec, submission=submission)
        append_event(
            new.pk,
            f"{job.kind}.retry",
            actor=f"{role}:{actor_user.pk}",
            data={"retried_from": str(job.pk)},
        )
    return new


def request_deletion(job_id: UUID, *, actor: str) -> Job:
    """Hide an ended job's files at once and have the engine delete their bytes. Idempotent.

    The rows stay as a tombstone: what there was, its hashes, its history, and who asked first for its deletion.

    Raises:
        InvalidTransitionError: the job has not ended yet.
        FilesInUseError: something else still needs the files; the message says what.
    """
    with transaction.atomic():
        job = _lock(job_id)
        if not job.is_terminal:
            raise InvalidTransitionError(f"The job is {job.status}; cancel it first, or wait until it ends.")
        user = get_kind(job.kind).in_use(job)
        if user is not None:
            raise FilesInUseError(user)
        Job.objects.filter(pk=job_id, deletion_requested_at__isnull=True).update(
            deletion_requested_at=Now(), deletion_requested_by=actor
        )
        job.refresh_from_db()
        return job


def _lock(job_id: UUID) -> Job:
    job = Job.objects.select_for_update(of=("self",)).filter(pk=job_id).first()
    if job is None:
        raise JobNotFoundError
    return job
