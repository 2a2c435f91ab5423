"""How a worker gets work: one short transaction, `FOR UPDATE SKIP LOCKED`, a new fence.

Order: priority, then the owner who was served longest ago (fair share), then `run_at`, then id. A first query finds
whose turn it is, by an index skip scan over the owners who wait: its cost does not grow with their jobs. Then the
best job of the first owner who has one that nobody else is claiming is locked.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.leases import lease_end
from aigc_platform.jobs.models import Attempt, Job, OwnerShare, Worker
from aigc_platform.jobs.states import JobStatus
from aigc_platform.jobs.transitions import move

_TURNS = 16
_LOOKS = 5
_PAUSE_SECONDS = 0.01

# The conditions on a job are those of `_claimable` below. The skip scan orders by more than it needs, so that no
# index but `job_claim` serves it: one that also holds ended jobs would be walked past all of them.
_TURNS_SQL = """
SELECT q.queue, owners.owner_id, best.priority
FROM unnest(%(queues)s::varchar[]) AS q(queue)
CROSS JOIN LATERAL (
  WITH RECURSIVE waiting(owner_id) AS (
    (SELECT owner_id FROM jobs_job WHERE status = 'queued' AND jobs_job.queue = q.queue
     ORDER BY owner_id, priority DESC, run_at, id LIMIT 1)
    UNION ALL
    SELECT (SELECT job.owner_id FROM jobs_job job
            WHERE job.status = 'queued' AND job.queue = q.queue AND job.owner_id > waiting.owner_id
            ORDER BY job.owner_id, job.priority DESC, job.run_at, job.id LIMIT 1)
    FROM waiting WHERE waiting.owner_id IS NOT NULL
  )
  SELECT owner_id FROM waiting WHERE owner_id IS NOT NULL
) AS owners
CROSS JOIN LATERAL (
  SELECT id, priority, run_at FROM jobs_job
  WHERE status = 'queued' AND jobs_job.queue = q.queue AND owner_id = owners.owner_id
    AND run_at <= statement_timestamp()
    AND (start_deadline_at IS NULL OR start_deadline_at > statement_timestamp() OR attempt_count > 0)
  ORDER BY priority DESC, run_at, id LIMIT 1
) AS best
LEFT JOIN jobs_ownershare share ON share.owner_id = owners.owner_id
ORDER BY best.priority DESC, share.served_at NULLS FIRST, best.run_at, best.id
LIMIT %(limit)s
"""


@dataclass(frozen=True)
class Claim:
    """A worker's hold on one job: every write it makes carries this fence."""

    job: Job
    fence: int
    attempt: Attempt
    worker: Worker

    @property
    def actor(self) -> str:
        return f"worker:{self.worker.name}"


def claim_jobs(worker: Worker, *, device: str = "") -> list[Claim]:
    """Claim the best eligible job for this worker's queues, and the queued jobs that may share its work.

    Each claimed job is `starting`, has a new fence, an attempt row, and a lease of `LEASE_SECONDS`.

    Returns:
        No claim if nothing is eligible; one claim; or several of one kind and group key.
    """
    for _ in range(_LOOKS):
        turns = _turns(worker.queues)
        if not turns:
            return []
        with transaction.atomic():
            job = _lock_first(turns)
            if job is not None:
                members = [job, *_lock_group(job)]
                claims = _take(members, worker, device)
                _note_served([member.owner_id for member in members])
                return claims
        # Others hold all of these in claims of their own, which take milliseconds.
        time.sleep(_PAUSE_SECONDS)
    return []


@dataclass(frozen=True)
class _Turn:
    """An owner with a due job in a queue, and the priority of the best one."""

    queue: str
    owner_id: UUID
    priority: int


def _turns(queues: Sequence[str]) -> list[_Turn]:
    with connection.cursor() as cursor:
        cursor.execute(_TURNS_SQL, {"queues": list(queues), "limit": _TURNS})
        return [_Turn(*row) for row in cursor.fetchall()]


def _lock_first(turns: Sequence[_Turn]) -> Job | None:
    for turn in turns:
        # Not below the priority that made it this owner's turn: that would pass over another owner.
        jobs = _claimable().filter(owner=turn.owner_id, queue=turn.queue, priority__gte=turn.priority)
        job = jobs.order_by("-priority", "run_at", "id").first()
        if job is not None:
            return job
    return None


def _lock_group(job: Job) -> list[Job]:
    limit = get_kind(job.kind).max_group - 1
    if not job.group_key or limit <= 0:
        return []
    peers = _claimable().filter(group_key=job.group_key, queue=job.queue, kind=job.kind)
    return list(peers.exclude(pk=job.pk).order_by("-priority", "run_at", "id")[:limit])


def _claimable() -> QuerySet[Job]:
    in_time = Q(start_deadline_at__isnull=True) | Q(start_deadline_at__gt=Now()) | Q(attempt_count__gt=0)
    due = Job.objects.filter(in_time, status=JobStatus.QUEUED, run_at__lte=Now())
    return due.select_for_update(of=("self",), skip_locked=True)


def _take(members: Sequence[Job], worker: Worker, device: str) -> list[Claim]:
    taken = move(
        members,
        JobStatus.STARTING,
        actor=f"worker:{worker.name}",
        facts=lambda job: {"attempt": job.attempt_count, "worker": worker.name},
        raise_fence=True,
        lease_worker=worker,
        lease_expires_at=lease_end(),
        attempt_count=F("attempt_count") + 1,
    )
    attempts = Attempt.objects.bulk_create(
        Attempt(job=job, number=job.attempt_count, fence=job.fence, worker=worker, device=device)
        for job in taken
    )
    return [
        Claim(job=job, fence=job.fence, attempt=attempt, worker=worker)
        for job, attempt in zip(taken, attempts, strict=True)
    ]


def _note_served(owner_ids: Sequence[UUID]) -> None:
    shares = OwnerShare.objects.filter(owner_id__in=set(owner_ids))
    if len(set(owner_ids)) > 1:
        # In one order everywhere: two groups with the same owners must not wait for each other crosswise.
        list(shares.order_by("owner_id").select_for_update().values_list("owner_id"))
    shares.update(served_at=Now())
