"""Small pieces of HTML that several pages show: times, durations, sizes, JSON, progress."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from aigc_platform.jobs.models import AttemptOutcome, Job, WorkerState
from aigc_platform.jobs.states import JobStatus

NOTHING = "–"

STATUS_TONES: Mapping[str, str] = {
    JobStatus.QUEUED: "default",
    JobStatus.STARTING: "info",
    JobStatus.RUNNING: "info",
    JobStatus.FINALIZING: "info",
    JobStatus.PAUSING: "warning",
    JobStatus.PAUSED: "warning",
    JobStatus.CANCELING: "warning",
    JobStatus.SUCCEEDED: "success",
    JobStatus.FAILED: "danger",
    JobStatus.CANCELED: "default",
    JobStatus.EXPIRED: "default",
}
OUTCOME_TONES: Mapping[str, str] = {
    AttemptOutcome.SUCCEEDED: "success",
    AttemptOutcome.FAILED: "danger",
    AttemptOutcome.LEASE_LOST: "danger",
    AttemptOutcome.CANCELED: "default",
    AttemptOutcome.PAUSED: "warning",
    AttemptOutcome.REQUEUED: "warning",
}
WORKER_TONES: Mapping[str, str] = {
    WorkerState.STARTING: "default",
    WorkerState.READY: "success",
    WorkerState.BUSY: "info",
    WorkerState.DRAINING: "warning",
    WorkerState.GONE: "default",
    "silent": "danger",
}

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(length: timedelta | float | None) -> str:
    """Return a length of time as its two largest units: `2 h 5 min`."""
    if length is None:
        return NOTHING
    rest = int(length.total_seconds() if isinstance(length, timedelta) else length)
    if rest < 1:
        return "0 s"
    parts: list[str] = []
    for seconds, unit in _UNITS:
        count, rest = divmod(rest, seconds)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def moment(at: datetime | None) -> SafeString | str:
    """Return a time as how long ago it was, with the exact time as its tooltip."""
    if at is None:
        return NOTHING
    seconds = (timezone.now() - at).total_seconds()
    words = f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
    exact = at.astimezone(timezone.get_current_timezone())
    return format_html(
        '<time datetime="{}" title="{}" class="c-nowrap">{}</time>',
        exact.isoformat(timespec="seconds"),
        exact.strftime("%Y-%m-%d %H:%M:%S %Z"),
        words,
    )


def exact_moment(at: datetime | None) -> SafeString | str:
    """Return a time to the second, with how long ago that was as its tooltip."""
    if at is None:
        return NOTHING
    exact = at.astimezone(timezone.get_current_timezone())
    return format_html(
        '<time datetime="{}" title="{} ago" class="c-nowrap">{}</time>',
        exact.isoformat(timespec="seconds"),
        duration(timezone.now() - at),
        exact.strftime("%Y-%m-%d %H:%M:%S"),
    )


def pixels(*, width: int, height: int, channels: int) -> str:
    """Return what the images of a data set or model are: `32×32 px, grey`."""
    return f"{width}×{height} px, {'grey' if channels == 1 else 'colour'}"


def size(count: int) -> str:
    return str(filesizeformat(count))


def code(text: object) -> SafeString:
    return format_html('<code class="c-code">{}</code>', text)


def short_hash(digest: str) -> SafeString:
    """Return the beginning of a hash; the whole one is its tooltip."""
    return format_html('<code class="c-code" title="{}">{}…</code>', digest, digest[:10])


def pretty_json(value: Any) -> SafeString | str:
    """Return a JSON value as an indented block that scrolls by itself."""
    if value is None or value == {}:
        return NOTHING
    return format_html(
        '<pre class="c-json" tabindex="0">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False)
    )


def one_line_json(value: Any, *, limit: int = 240) -> SafeString | str:
    """Return a JSON value on one line, cut at `limit` characters."""
    if not value:
        return NOTHING
    text = json.dumps(value, ensure_ascii=False)
    return format_html(
        '<code class="c-code c-wrap">{}</code>', text if len(text) <= limit else f"{text[:limit]}…"
    )


def named_in(job: Job) -> str:
    """Return what the job is about as its spec names it: a model, or the data set it imports."""
    return next((job.spec[key] for key in ("model", "name") if isinstance(job.spec.get(key), str)), "")


def subject(job: Job) -> str:
    """Return what a person calls the job: `Training my-digits`."""
    return " ".join(filter(None, (job.kind.replace("_", " ").capitalize(), named_in(job))))


def fraction(progress: Mapping[str, Any]) -> float | None:
    """Return how much of the work is done, 0 to 1; None while that is not known."""
    current, total = progress.get("current"), progress.get("total")
    if not isinstance(current, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return min(1.0, max(0.0, current / total))


def progress_words(progress: Mapping[str, Any]) -> str:
    """Return `12,800 of 40,000 images`, or nothing before the first report."""
    current, total, unit = progress.get("current"), progress.get("total"), progress.get("unit", "")
    if not isinstance(current, int | float):
        return ""
    done = f"{current:,.0f}"
    return f"{done} of {total:,.0f} {unit}" if isinstance(total, int | float) else f"{done} {unit}"


def progress_bar(progress: Mapping[str, Any], status: str) -> SafeString | str:
    """Return a bar for a list: filled as far as the work is done."""
    share = fraction(progress)
    if share is None:
        return NOTHING
    percent = round(share * 100)
    return format_html(
        '<span class="c-progress c-progress-{}" title="{}"><progress max="100" value="{}"></progress>'
        "<span>{} %</span></span>",
        STATUS_TONES.get(status, "default"),
        progress_words(progress),
        percent,
        percent,
    )
