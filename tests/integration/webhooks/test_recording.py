"""A change of status and what is owed for it are one: both are there, or neither."""

import pytest
from django.conf import LazySettings
from django.db import transaction

from aigc_platform.accounts.models import User
from aigc_platform.jobs import leases
from aigc_platform.jobs.models import Job, JobEvent
from aigc_platform.jobs.services import request_cancel, request_pause, resume_job
from aigc_platform.jobs.states import JobStatus, StatusReason
from aigc_platform.jobs.transitions import transition
from aigc_platform.webhooks.models import WebhookDelivery
from aigc_platform.webhooks.payloads import body_of
from tests.factories.jobs import (
    claim_new,
    claim_one,
    complete,
    make_worker,
    report_finalizing,
    report_running,
    submit,
)
from tests.factories.webhooks import EVERYTHING, make_endpoint

pytestmark = pytest.mark.django_db


def told(job: Job) -> list[str]:
    """Return the event types recorded for this job, in order of its events."""
    rows = WebhookDelivery.objects.filter(job_id=job.pk)
    return [row.event_type for row in sorted(rows, key=lambda row: int(row.event_id.rpartition("_")[2]))]


def test_the_whole_life_of_a_job_is_told_in_its_own_words(user: User) -> None:
    make_endpoint(user, event_types=EVERYTHING)
    job = submit(user)
    request_pause(job.pk, actor="test")
    resume_job(job.pk, actor="test")
    claim = claim_one(make_worker(job.queue))
    report_running(claim)
    leases.report_progress(claim.job, claim.fence, {"current": 1}, actor=claim.actor, as_event=True)
    report_finalizing(claim)
    complete(claim)

    assert told(job) == [
        "job.queued", "job.paused", "job.queued", "job.starting", "job.running", "job.finalizing", "job.succeeded",
    ]  # fmt: skip
    for delivery in WebhookDelivery.objects.filter(job_id=job.pk):
        event = JobEvent.objects.get(job=job, seq=int(delivery.event_id.rpartition("_")[2]))
        assert delivery.event_id == f"evt_{job.pk.hex}_{event.seq}"
        assert delivery.payload["type"] == delivery.event_type
        assert delivery.payload["timestamp"] == event.at.isoformat().replace("+00:00", "Z")
        assert f"job.{delivery.payload['data']['status']}" == delivery.event_type


def test_the_other_ends(user: User) -> None:
    make_endpoint(user)
    expired = transition(submit(user).pk, JobStatus.EXPIRED, actor="test", reason=StatusReason.DEADLINE)
    canceled = request_cancel(submit(user).pk, actor="test")
    failing = claim_new(owner=user)
    error = {"code": "toy.broken", "message": "It broke.", "errors": [{"pointer": "x"}]}
    leases.fail_job(
        failing.job, failing.fence, actor=failing.actor, reason=StatusReason.CODE_ERROR, error=error
    )
    assert [told(job) for job in (expired, canceled, failing.job)] == [
        ["job.expired"], ["job.canceled"], ["job.failed"],
    ]  # fmt: skip
    told_failure = WebhookDelivery.objects.get(job_id=failing.job.pk).payload["data"]
    assert told_failure["error"] == {"code": "toy.broken", "message": "It broke."}
    assert (told_failure["status_reason"], told_failure["attempt"]) == ("code_error", 1)


def test_a_message_is_thin_and_names_public_addresses(user: User, settings: LazySettings) -> None:
    settings.PUBLIC_URL = "https://aigc.example"
    settings.EVENTS_URL = "https://events.aigc.example"
    make_endpoint(user, event_types=["job.queued"])
    labels = {f"{n}" * 32: "ü" * 512 for n in range(10, 26)}
    job = submit(user, labels=labels)
    payload = WebhookDelivery.objects.get().payload
    assert payload["data"]["urls"] == {
        "self": f"https://aigc.example/api/v1/jobs/{job.pk}",
        "events": f"https://events.aigc.example/api/v1/jobs/{job.pk}/events",
        "artifacts": f"https://aigc.example/api/v1/jobs/{job.pk}/artifacts",
    }
    assert payload["data"]["labels"] == labels
    assert set(payload["data"]) == {
        "id", "kind", "status", "status_reason", "event_seq", "attempt", "labels", "error", "created_at",
        "started_at", "finished_at", "urls",
    }  # fmt: skip
    assert payload["data"]["created_at"].endswith("Z")
    # Standard Webhooks asks for less than 20 kB; these are as many and as long labels as a job may have.
    assert len(body_of(payload).encode()) < 20_000


def test_only_the_owners_subscribed_endpoints_are_told(user: User, stranger: User) -> None:
    both = [make_endpoint(user), make_endpoint(user, event_types=["job.canceled", "job.running"])]
    make_endpoint(user, event_types=["job.succeeded"])
    make_endpoint(stranger, event_types=EVERYTHING)
    request_cancel(submit(user).pk, actor="test")
    rows = list(WebhookDelivery.objects.all())
    assert {row.endpoint_id for row in rows} == {endpoint.pk for endpoint in both}
    assert len({row.event_id for row in rows}) == 1


class _CrashError(Exception):
    pass


def _cancel_and_crash(job: Job) -> None:
    with transaction.atomic():
        request_cancel(job.pk, actor="test")
        raise _CrashError


def test_a_change_that_is_rolled_back_is_not_told(user: User) -> None:
    make_endpoint(user)
    job = submit(user)
    with pytest.raises(_CrashError):
        _cancel_and_crash(job)
    assert told(job) == []
    request_cancel(job.pk, actor="test")
    assert told(job) == ["job.canceled"]


def test_progress_is_not_told(user: User) -> None:
    make_endpoint(user, event_types=EVERYTHING)
    claim = claim_new(owner=user)
    report_running(claim)
    before = WebhookDelivery.objects.count()
    leases.report_progress(claim.job, claim.fence, {"current": 1}, actor=claim.actor, as_event=True)
    assert WebhookDelivery.objects.count() == before
