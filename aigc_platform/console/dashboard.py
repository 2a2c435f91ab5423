"""The start page: what waits, what runs, who works, what failed, what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from aigc_platform.console import markup
from aigc_platform.console.pictures import Picture, picture_of
from aigc_platform.console.workers import device_words, with_life
from aigc_platform.jobs.models import Artifact, Job, Worker
from aigc_platform.jobs.selectors import QueueState, live_workers, queue_states
from aigc_platform.jobs.states import LEASED, TERMINAL, JobStatus

_DAY = timedelta(hours=24)
_FAILURES = 6
_GRIDS = 8
_JOBS_SEARCHED_FOR_GRIDS = 200


@dataclass(frozen=True)
class Tile:
    """One figure and where it leads."""

    title: str
    count: int
    note: str
    tone: str
    url: str


@dataclass(frozen=True)
class QueueRow:
    """One queue.

    Attributes:
        oldest: how long its oldest waiting job has waited; empty if none waits.
        is_stuck: jobs wait and no live worker serves it.
    """

    state: QueueState
    oldest: str
    is_stuck: bool


@dataclass(frozen=True)
class HeldJob:
    """A job that a worker holds."""

    job: Job
    tone: str
    percent: int | None


@dataclass(frozen=True)
class WorkerCard:
    """One live worker and what it does."""

    worker: Worker
    tone: str
    device: str
    beat: str
    jobs: Sequence[HeldJob]


@dataclass(frozen=True)
class Grid:
    """The newest sheet of samples of a job."""

    job: Job
    picture: Picture


@dataclass(frozen=True)
class Dashboard:
    """Everything the start page shows."""

    tiles: Sequence[Tile]
    queues: Sequence[QueueRow]
    workers: Sequence[WorkerCard]
    failures: Sequence[Job]
    grids: Sequence[Grid]


def fill_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard for those who may see jobs; Unfold calls this for its start page."""
    may_see = request.user.has_perm("jobs.view_job") or request.user.has_perm("jobs.change_job")
    return {**context, "dashboard": dashboard() if may_see else None, "title": "Overview"}


def dashboard() -> Dashboard:
    workers = [_worker_card(worker) for worker in with_life(live_workers()).order_by("name")]
    queues = _queues()
    return Dashboard(
        tiles=_tiles(queues, workers),
        queues=queues,
        workers=workers,
        failures=_last_failures(),
        grids=_newest_grids(),
    )


def _tiles(queues: Sequence[QueueRow], workers: Sequence[WorkerCard]) -> list[Tile]:
    alive = _counts(Q(status__in=set(JobStatus) - TERMINAL))
    ended = _counts(Q(finished_at__gte=Now() - _DAY))
    oldest = next((f"oldest {queue.oldest}" for queue in queues if queue.oldest), "nothing waits")
    waiting_tone = "warning" if any(queue.is_stuck for queue in queues) else "default"
    failed_tone = "danger" if ended.get(JobStatus.FAILED) else "default"
    return [
        _tile("Waiting", alive, [JobStatus.QUEUED], oldest, waiting_tone),
        _tile("Running", alive, sorted(LEASED), "held by a worker", "info"),
        _tile("Paused", alive, [JobStatus.PAUSED], "until resumed", "default"),
        _tile("Succeeded", ended, [JobStatus.SUCCEEDED], "in 24 hours", "success"),
        _tile("Failed", ended, [JobStatus.FAILED], "in 24 hours", failed_tone),
        _workers_tile(workers),
    ]


def _workers_tile(workers: Sequence[WorkerCard]) -> Tile:
    busy = sum(bool(card.jobs) for card in workers)
    url = f"{reverse('admin:jobs_worker_changelist')}?life=live"
    return Tile("Workers", len(workers), f"{busy} busy", "default" if workers else "danger", url)


def _tile(title: str, counts: Mapping[str, int], statuses: Sequence[str], note: str, tone: str) -> Tile:
    query = urlencode({"status": [str(status) for status in statuses]}, doseq=True)
    url = f"{reverse('admin:jobs_job_changelist')}?{query}"
    return Tile(title, sum(counts.get(status, 0) for status in statuses), note, tone, url)


def _counts(which: Q) -> dict[str, int]:
    rows = Job.objects.filter(which).values_list("status").annotate(count=Count("pk")).order_by()
    return dict(rows)


def _queues() -> list[QueueRow]:
    """Return every queue, those that wait for a worker first, then the one with the longest wait."""
    now = timezone.now()
    rows = [
        QueueRow(
            state=state,
            oldest=markup.duration(now - state.oldest_queued_at) if state.oldest_queued_at else "",
            is_stuck=bool(state.queued) and not state.workers,
        )
        for state in queue_states()
    ]
    return sorted(rows, key=lambda row: (row.state.oldest_queued_at or now, row.state.name))


def _worker_card(worker: Worker) -> WorkerCard:
    return WorkerCard(
        worker=worker,
        tone=markup.WORKER_TONES[worker.state],
        device=device_words(worker),
        beat=markup.moment(worker.last_beat_at),
        jobs=[_held(job) for job in worker.leased_jobs.all()],
    )


def _held(job: Job) -> HeldJob:
    share = markup.fraction(job.progress)
    return HeldJob(job, markup.STATUS_TONES[job.status], None if share is None else round(share * 100))


def _last_failures() -> list[Job]:
    failed = Job.objects.filter(status=JobStatus.FAILED).select_related("owner")
    return list(failed.order_by("-finished_at")[:_FAILURES])


def _newest_grids() -> list[Grid]:
    """Return the newest sheet of samples of each of the latest jobs that have one.

    Looks through a bounded number of jobs by the index on their age: a search through all artifacts would read
    every image ever generated.
    """
    latest = list(
        Job.objects.order_by("-created_at", "-id").values_list("pk", flat=True)[:_JOBS_SEARCHED_FOR_GRIDS]
    )
    sheets = (
        Artifact.objects.filter(
            job__in=latest,
            job__deletion_requested_at__isnull=True,
            role__in=("grid", "preview"),
            media_type__startswith="image/",
        )
        .exclude(job__kind="dataset_import")
        .order_by("job_id", "-created_at", "-index")
        .distinct("job_id")
        .select_related("job")
    )
    newest = sorted(sheets, key=lambda sheet: sheet.created_at, reverse=True)[:_GRIDS]
    return [Grid(sheet.job, picture_of(sheet)) for sheet in newest]
