"""The same request many times at once: one effect, one answer."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import httpx
import pytest

from aigc_platform.datasets.models import Dataset
from aigc_platform.jobs.models import Job
from tests.factories.accounts import client_of, make_user
from tests.factories.finished import fail, published_model, queued_training
from tests.integration.jobs.concurrency import at_once

pytestmark = pytest.mark.django_db(transaction=True)

TIMES = 8
Answer = TypeVar("Answer")


def _all_at_once(call: Callable[[int], Answer]) -> list[Answer]:
    answers: list[Answer] = []
    for answer in at_once([partial(call, index) for index in range(TIMES)]):
        if isinstance(answer, Exception):
            raise answer
        answers.append(answer)
    assert len(answers) == TIMES
    return answers


def test_one_key_makes_one_data_set_and_one_import() -> None:
    user = make_user()
    clients = [client_of(user) for _ in range(TIMES)]

    def create(index: int) -> tuple[int, str]:
        answer = clients[index].post(
            "/api/v1/datasets", {"name": "d", "builtin": "digits"}, headers={"Idempotency-Key": "k"}
        )
        return answer.status_code, answer.json().get("id", answer.content)

    answers = _all_at_once(create)
    assert {status for status, _ in answers} == {202}
    assert len({dataset_id for _, dataset_id in answers}) == 1
    assert (Dataset.objects.count(), Job.objects.count()) == (1, 1)


def test_one_key_makes_one_generation_though_each_request_draws_a_seed() -> None:
    user = make_user()
    published_model(user, "digits")
    clients = [client_of(user) for _ in range(TIMES)]

    def create(index: int) -> tuple[int, str, int]:
        answer = clients[index].post(
            "/api/v1/generations", {"model": "digits", "count": 1}, headers={"Idempotency-Key": "k"}
        )
        return answer.status_code, answer.json()["id"], answer.json()["spec"]["seed"]

    assert len(set(_all_at_once(create))) == 1
    assert Job.objects.filter(kind="generation").count() == 1


def test_retrying_at_once_makes_one_job() -> None:
    user = make_user()
    job = fail(queued_training(user), {"code": "x", "message": "x", "errors": []})
    clients = [client_of(user) for _ in range(TIMES)]

    def retry(index: int) -> tuple[int, str]:
        answer = clients[index].post(f"/api/v1/trainings/{job.pk}/retry")
        return answer.status_code, answer.json()["id"]

    assert len(set(_all_at_once(retry))) == 1
    assert Job.objects.get(retried_from=job).status == "queued"


def test_completing_at_once_starts_one_import() -> None:
    user = make_user()
    clients = [client_of(user) for _ in range(TIMES)]
    dataset = clients[0].post("/api/v1/datasets", {"name": "mine"}).json()
    form = dataset["upload"]
    httpx.post(form["url"], data=form["fields"], files={"file": ("a.zip", b"archive")})
    request = {"sha256": hashlib.sha256(b"archive").hexdigest(), "size": 7}

    def complete(index: int) -> tuple[int, str]:
        answer = clients[index].post(f"/api/v1/datasets/{dataset['id']}/complete", request)
        return answer.status_code, answer.json()["job"]

    answers = _all_at_once(complete)
    assert sorted(status for status, _ in answers) == [200] * (TIMES - 1) + [202]
    assert len({job for _, job in answers}) == 1
    assert Job.objects.count() == 1
