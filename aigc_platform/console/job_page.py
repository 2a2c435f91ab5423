"""Everything the top of a job's page shows, gathered in one place and refreshed while the job is alive."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from aigc_platform.console import markup
from aigc_platform.console.curves import Chart, charts_of
from aigc_platform.console.job_actions import ACTIONS, JobAction
from aigc_platform.console.pictures import Picture, picture_of
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.selectors import artifacts_of, queue_place
from aigc_platform.jobs.states import JobStatus

_STRIP_LENGTH = 12
_GALLERY_LENGTH = 24
_SHEET_ROLES = ("grid", "preview")

WAITING_REASONS = {
    "no_worker": "No live worker serves its queue.",
    "workers_busy": "Every worker that serves its queue is busy.",
    "scheduled": "It is not due yet.",
    "backoff": "It waits a little before it is tried again.",
}


@dataclass(frozen=True)
class Fact:
    """One line of the list beside the curves."""

    name: str
    value: str | SafeString


@dataclass(frozen=True)
class JobPage:
    """What the template shows.

    Attributes:
        percent: of the work done, if that is known.
        sheet: the newest sheet of samples.
        strip: earlier sheets, newest first.
        gallery: the first outputs of a generation.
    """

    job: Job
    tone: str
    percent: int | None
    progress_words: str
    remaining: str
    waiting: Sequence[str] = ()
    actions: Sequence[JobAction] = ()
    facts: Sequence[Fact] = ()
    charts: Sequence[Chart] = ()
    sheet: Picture | None = None
    sheet_words: str = "Samples"
    strip: Sequence[Picture] = ()
    gallery: Sequence[Picture] = ()
    error: dict[str, Any] = field(default_factory=dict)


def job_page(job: Job, *, may_operate: bool) -> JobPage:
    share = markup.fraction(job.progress)
    sheet, strip = _sheets(job)
    return JobPage(
        job=job,
        tone=markup.STATUS_TONES[job.status],
        percent=None if share is None else round(share * 100),
        progress_words=markup.progress_words(job.progress),
        remaining=_remaining(job),
        waiting=_waiting(job),
        actions=[action for action in ACTIONS.values() if may_operate and action.is_offered(job)],
        facts=_facts(job),
        charts=charts_of(job),
        sheet=sheet,
        sheet_words="Contact sheet" if job.kind == "dataset_import" else "Samples",
        strip=strip,
        gallery=_gallery(job),
        error=job.error or {},
    )


def _remaining(job: Job) -> str:
    seconds = job.progress.get("eta_seconds")
    if job.status != JobStatus.RUNNING or not isinstance(seconds, int | float):
        return ""
    return f"about {markup.duration(seconds)} left"


def _waiting(job: Job) -> list[str]:
    place = queue_place(job)
    if place.position is None:
        return []
    reasons = [WAITING_REASONS.get(reason, reason) for reason in place.reasons]
    return [f"Number {place.position:,} in queue {job.queue}.", *reasons]


def _sheets(job: Job) -> tuple[Picture | None, list[Picture]]:
    """Return the newest sheet of samples and the ones before it."""
    sheets = artifacts_of(job).filter(role__in=_SHEET_ROLES, media_type__startswith="image/")
    newest = sheets.order_by("-created_at", "-index")[: _STRIP_LENGTH + 1]
    pictures = [picture_of(artifact) for artifact in newest]
    return (pictures[0], pictures[1:]) if pictures else (None, [])


def _gallery(job: Job) -> list[Picture]:
    outputs = artifacts_of(job).filter(role="image", media_type__startswith="image/")
    return [picture_of(artifact) for artifact in outputs.order_by("index")[:_GALLERY_LENGTH]]


def _facts(job: Job) -> list[Fact]:
    facts = [
        Fact("Owner", link("accounts_user", job.owner_id, job.owner)),
        Fact("Queue", f"{job.queue}, priority {job.priority}"),
        Fact("Attempts", f"{job.attempt_count}, {job.recoveries} of {job.max_recoveries} recoveries spent"),
        Fact("Created", markup.exact_moment(job.created_at)),
        Fact("Started", markup.exact_moment(job.started_at)),
        Fact("Finished", markup.exact_moment(job.finished_at)),
        Fact("Waited", markup.duration(_waited(job))),
        Fact("Took", markup.duration(_took(job))),
    ]
    if job.lease_worker is not None:
        facts.append(Fact("Worker", link("jobs_worker", job.lease_worker_id, job.lease_worker)))
        facts.append(Fact("Lease ends", markup.moment(job.lease_expires_at)))
    if job.start_deadline_at:
        facts.append(Fact("Must start", markup.moment(job.start_deadline_at)))
    if job.run_timeout_seconds:
        facts.append(Fact("May run for", markup.duration(job.run_timeout_seconds)))
    if job.labels:
        facts.append(Fact("Labels", _labels(job.labels)))
    if job.deletion_requested_at:
        facts.append(Fact("Files deleted", _deletion(job)))
    if job.retried_from_id:
        facts.append(Fact("Retry of", link("jobs_job", job.retried_from_id, job.retried_from)))
    facts.extend(Fact("Retried as", link("jobs_job", retry.pk, retry)) for retry in job.retries.all()[:5])
    return facts


def link(view: str, pk: object, words: object) -> SafeString:
    """Return a link to a row's page in this site."""
    return format_html(
        '<a class="c-link" href="{}">{}</a>', reverse(f"admin:{view}_change", args=[pk]), words
    )


def _labels(labels: dict[str, Any]) -> SafeString:
    return format_html_join(" ", '<code class="c-code">{}={}</code>', sorted(labels.items()))


def _deletion(job: Job) -> SafeString:
    state = "all bytes are gone" if job.deleted_at else "the engine is at it"
    asked = markup.exact_moment(job.deletion_requested_at)
    return format_html("{} by {}; {}", asked, job.deletion_requested_by, state)


def _waited(job: Job) -> Any:
    return job.started_at - job.created_at if job.started_at else None


def _took(job: Job) -> Any:
    return job.finished_at - job.started_at if job.started_at and job.finished_at else None
