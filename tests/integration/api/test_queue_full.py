"""A full queue over HTTP: a clear refusal that says when to come again, and nothing is left behind."""

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.jobs.models import Job
from tests.factories.finished import published_model
from tests.integration.api.answers import body, problem

pytestmark = pytest.mark.django_db


def test_a_full_queue_answers_503_and_takes_jobs_again_when_one_leaves(
    client: APIClient, user: User, settings: Settings
) -> None:
    published_model(user, "digits")
    settings.QUEUE_MAX_JOBS = 1
    wish = {"model": "digits", "count": 1, "seed": 1}
    first = client.post("/api/v1/generations", wish, headers={"Idempotency-Key": "k"})
    job = body(first, 202)

    refused = client.post("/api/v1/generations", wish)

    assert problem(refused, 503)["code"] == "job.queue_full"
    assert refused.headers["Retry-After"] == "5"
    assert Job.objects.filter(kind="generation").count() == 1
    again = client.post("/api/v1/generations", wish, headers={"Idempotency-Key": "k"})
    assert body(again, 202)["id"] == job["id"], "a repeated request is no new job"
    client.post(job["urls"]["cancel"])
    assert body(client.post("/api/v1/generations", wish), 202)["status"] == "queued"
    assert problem(client.post(job["urls"]["retry"]), 503)["code"] == "job.queue_full"
