"""How a worker gets work: one short transaction, `FOR UPDATE SKIP LOCKED`, a new fence.

Order: priority, then the owner who was served longest ago (fair share), then `run_at`, then id. The first query
only proposes one row per owner and queue by an index skip scan, so its cost grows with the owners who wait, not
with the jobs.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.leases import lease_end
from aigc_platform.jobs.models import Attempt, Job, OwnerShare, Worker
from aigc_platform.jobs.states import JobStatus
from aigc_platform.jobs.transitions import transition

_PROPOSALS = 16
_RETRIES = 5

_PROPOSE = """
SELECT best.id
FROM unnest(%(queues)s::varchar[]) AS q(queue)
CROSS JOIN LATERAL (
  WITH RECURSIVE waiting(owner_id) AS (
    (SELECT owner_id FROM jobs_job WHERE status = 'queued' AND jobs_job.queue = q.queue
     ORDER BY owner_id LIMIT 1)
    UNION ALL
    SELECT (SELECT job.owner_id FROM jobs_job job
            WHERE job.status = 'queued' AND job.queue = q.queue AND job.owner_id > waiting.owner_id
            ORDER BY job.owner_id LIMIT 1)
    FROM waiting WHERE waiting.owner_id IS NOT NULL
  )
  SELECT owner_id FROM waiting WHERE owner_id IS NOT NULL
) AS owners
CROSS JOIN LATERAL (
  SELECT id, priority, run_at FROM jobs_job
  WHERE status = 'queued' AND jobs_job.queue = q.queue AND owner_id = owners.owner_id AND run_at <= now()
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
    for _ in range(_RETRIES):
        proposals = _propose(worker.queues)
        if not proposals:
            return []
        with transaction.atomic():
            job = _lock_first(proposals)
            if job is not None:
                members = [job, *_lock_group(job)]
                return [_take(member, worker, device) for member in members]
        # Others hold every proposed row in claims of their own, which take milliseconds; look again.
        time.sleep(0.01)
    return []


def _propose(queues: Sequence[str]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_PROPOSE, {"queues": list(queues), "limit": _PROPOSALS})
        return [row[0] for row in cursor.fetchall()]


def _lock_first(proposals: Sequence[UUID]) -> Job | None:
    for job_id in proposals:
        job = _unclaimed().filter(pk=job_id).first()
        if job is not None:
            return job
    return None


def _lock_group(job: Job) -> list[Job]:
    limit = get_kind(job.kind).max_group - 1
    if not job.group_key or limit <= 0:
        return []
    peers = _unclaimed().filter(group_key=job.group_key, queue=job.queue, kind=job.kind, run_at__lte=Now())
    return list(peers.exclude(pk=job.pk).order_by("-priority", "run_at", "id")[:limit])


def _unclaimed() -> QuerySet[Job]:
    return Job.objects.select_for_update(of=("self",), skip_locked=True).filter(status=JobStatus.QUEUED)


def _take(job: Job, worker: Worker, device: str) -> Claim:
    taken = transition(
        job.pk,
        JobStatus.STARTING,
        actor=f"worker:{worker.name}",
        data={"attempt": job.attempt_count + 1, "worker": worker.name},
        raise_fence=True,
        lease_worker=worker,
        lease_expires_at=lease_end(),
        attempt_count=F("attempt_count") + 1,
    )
    attempt = Attempt.objects.create(
        job=taken, number=taken.attempt_count, fence=taken.fence, worker=worker, device=device
    )
    OwnerShare.objects.filter(owner_id=taken.owner_id).update(served_at=Now())
    return Claim(job=taken, fence=taken.fence, attempt=attempt, worker=worker)
