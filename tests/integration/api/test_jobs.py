"""Jobs of all kinds over HTTP: the envelope, lists, history, figures, outputs, and what can be done to them."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.jobs import leases
from aigc_platform.jobs.finishing import publish_preview
from aigc_platform.jobs.fleet import register_worker, retire_worker
from aigc_platform.jobs.models import Job
from tests.factories import finished
from tests.factories.finished import (
    fail,
    finish_generation,
    finish_training,
    published_model,
    queued_generation,
    queued_training,
    ready_dataset,
    start,
)
from tests.integration.api.answers import body, field_problems, problem

pytestmark = pytest.mark.django_db

ENVELOPE = {
    "id", "kind", "status", "status_reason", "spec", "output", "error", "progress", "queue", "priority",
    "attempt", "labels", "metrics", "retried_from", "created_at", "queued_at", "started_at", "finished_at",
    "expires_at", "deletion", "urls",
}  # fmt: skip


def detail(client: APIClient, job: Job, collection: str = "jobs") -> dict[str, Any]:
    return body(client.get(f"/api/v1/{collection}/{job.pk}"), 200)


def results(client: APIClient, path: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(client.get(path, parameters), 200)["results"]
    return found


def post(client: APIClient, job: Job, action: str, collection: str = "jobs") -> Any:
    return client.post(f"/api/v1/{collection}/{job.pk}/{action}")


class TestEnvelope:
    def test_one_form_for_every_kind_and_state(self, client: APIClient, user: User) -> None:
        training = finish_training(queued_training(user, model="m"))
        generation = queued_generation(user, "m")
        for job, collection in ((training, "trainings"), (generation, "generations")):
            by_union, by_kind = detail(client, job), detail(client, job, collection)
            assert by_union.keys() == by_kind.keys() == ENVELOPE
            assert by_union["urls"] == by_kind["urls"]
            assert by_kind["urls"]["self"] == f"http://testserver/api/v1/{collection}/{job.pk}"
        importing = Job.objects.get(kind="dataset_import")
        assert detail(client, importing)["urls"]["self"].endswith(f"/api/v1/jobs/{importing.pk}")

    def test_a_kind_has_no_jobs_of_another(self, client: APIClient, user: User) -> None:
        training = queued_training(user)
        assert client.get(f"/api/v1/generations/{training.pk}").status_code == 404
        assert post(client, training, "cancel", "generations").status_code == 404

    def test_a_running_job_tells_progress_eta_and_times(self, client: APIClient, user: User) -> None:
        claim = start(queued_training(user))
        report = {
            "current": 640.0, "total": 1000.0, "unit": "images", "rate": 80.0, "eta_seconds": 4.5,
            "metrics": {"loss": 0.5},
        }  # fmt: skip
        leases.report_progress(claim.job, claim.fence, report, actor=claim.actor)
        shown = detail(client, claim.job)
        assert (shown["status"], shown["attempt"], shown["queue"]["position"]) == ("running", 1, None)
        eta_at = parse_datetime(shown["progress"].pop("eta_at"))
        assert eta_at is not None
        assert abs(eta_at - timezone.now() - timedelta(seconds=4.5)) < timedelta(seconds=3)
        assert shown["progress"]["current"] == 640
        assert shown["progress"]["rate"] == 80
        assert shown["metrics"]["queue_seconds"] >= 0
        assert shown["metrics"]["run_seconds"] >= 0
        assert shown["started_at"] is not None

    def test_run_seconds_are_the_sum_of_all_attempts(self, client: APIClient, user: User) -> None:
        from aigc_platform.jobs.models import Attempt

        job = finish_training(queued_training(user))
        begun = timezone.now() - timedelta(hours=1)
        Attempt.objects.filter(job=job).update(started_at=begun, ended_at=begun + timedelta(seconds=90))
        assert detail(client, job)["metrics"]["run_seconds"] == 90
        [listed] = results(client, "/api/v1/trainings")
        assert listed["metrics"]["run_seconds"] == 90

    def test_a_failed_job_says_what_to_fix(self, client: APIClient, user: User) -> None:
        error = {
            "code": "training.bad",
            "message": "No.",
            "errors": [{"pointer": "/config/kimg", "code": "x", "message": "Less."}],
        }
        shown = detail(client, fail(queued_training(user), error))
        assert (shown["status"], shown["status_reason"], shown["error"]) == ("failed", "invalid_input", error)
        assert shown["finished_at"] is not None

    def test_the_place_in_the_queue_and_why(self, client: APIClient, user: User) -> None:
        dataset = ready_dataset(user)
        first, second = queued_training(user, dataset), queued_training(user, dataset)
        assert detail(client, first)["queue"] == {"position": 1, "reasons": ["no_worker"]}
        assert detail(client, second)["queue"]["position"] == 2


class TestLists:
    def test_newest_first_filtered_and_paged(self, client: APIClient, user: User) -> None:
        dataset = ready_dataset(user)
        old = finish_training(queued_training(user, dataset, labels={"run": "a", "x": "1:2"}))
        new = queued_training(user, dataset, labels={"run": "b"})
        importing = Job.objects.get(kind="dataset_import")
        ids = [str(job.pk) for job in (new, old, importing)]

        def listed(**parameters: Any) -> list[str]:
            return [item["id"] for item in results(client, "/api/v1/jobs", **parameters)]

        assert listed() == ids
        assert listed(status="queued") == ids[:1]
        assert listed(status="succeeded,queued") == ids
        assert listed(status="succeeded,failed") == ids[1:]
        assert listed(kind="training") == ids[:2]
        assert listed(kind="dataset_import,generation") == ids[2:]
        assert listed(label="run:a") == ids[1:2]
        assert listed(label="x:1:2") == ids[1:2]
        assert listed(label="run:c") == []
        assert listed(created_after=old.created_at.isoformat()) == ids[:2]
        assert listed(created_before=old.created_at.isoformat()) == ids[2:]
        assert [item["id"] for item in results(client, "/api/v1/trainings")] == ids[:2]
        page = body(client.get("/api/v1/jobs", {"limit": 2}), 200)
        assert [item["id"] for item in body(client.get(page["next"]), 200)["results"]] == ids[2:]

    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            ({"status": "lost"}, {("?status", "field.choice")}),
            ({"status": "queued,lost"}, {("?status", "field.choice")}),
            ({"kind": "magic"}, {("?kind", "field.choice")}),
            ({"label": "no-colon"}, {("?label", "field.invalid")}),
            ({"label": "a:\x00"}, {("?label", "field.invalid")}),
            ({"created_after": "yesterday"}, {("?created_after", "field.invalid")}),
            (
                {"created_before": "x", "kind": "x"},
                {("?created_before", "field.invalid"), ("?kind", "field.choice")},
            ),
        ],
    )
    def test_bad_filters_are_named(
        self, client: APIClient, parameters: dict[str, str], expected: set[tuple[str, str]]
    ) -> None:
        assert field_problems(client.get("/api/v1/jobs", parameters)) == expected

    def test_a_list_costs_two_queries_whatever_its_length(
        self, client: APIClient, user: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        dataset = ready_dataset(user)
        for _ in range(6):
            queued_training(user, dataset)
        start(Job.objects.filter(status="queued")[0])
        client.get("/api/v1/jobs")
        with django_assert_num_queries(2):  # token, jobs
            assert len(results(client, "/api/v1/jobs")) == 7


class TestHistory:
    def test_events_come_in_order_and_go_on_after_a_number(self, client: APIClient, user: User) -> None:
        job = finish_training(queued_training(user))
        path = f"/api/v1/trainings/{job.pk}/events"
        events = results(client, path)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert events[0]["type"] == "training.queued"
        assert events[-1]["type"] == "training.succeeded"
        assert events[0]["actor"] == f"user:{user.pk}"
        assert results(client, path, after=2) == events[2:]
        assert results(client, path, after=len(events)) == []
        assert results(client, path, after=2**31 - 1) == []

        collected, url = [], f"{path}?limit=1"
        while url:
            page = body(client.get(url), 200)
            collected += page["results"]
            url = page["next"]
        assert collected == events

    def test_figures_are_the_progress_events(self, client: APIClient, user: User) -> None:
        claim = start(queued_training(user))
        for current in (100.0, 200.0):
            report = {
                "current": current, "total": None, "unit": "images", "rate": None, "eta_seconds": None,
                "metrics": {"loss": 1 / current},
            }  # fmt: skip
            leases.report_progress(claim.job, claim.fence, report, actor=claim.actor, as_event=True)
        points = results(client, f"/api/v1/trainings/{claim.job.pk}/metrics")
        assert [(point["current"], point["metrics"]["loss"]) for point in points] == [
            (100, 0.01),
            (200, 0.005),
        ]
        assert points[0]["rate"] is None
        after = results(client, f"/api/v1/trainings/{claim.job.pk}/metrics", after=points[0]["seq"])
        assert after == points[1:]

    @pytest.mark.parametrize("name", ["events", "metrics"])
    @pytest.mark.parametrize(
        ("parameters", "pointer"),
        [
            ({"after": "-1"}, "?after"),
            ({"after": "x"}, "?after"),
            ({"after": str(2**31)}, "?after"),
            ({"limit": "0"}, "?limit"),
            ({"limit": "1001"}, "?limit"),
        ],
    )
    def test_bad_parameters_are_named(
        self, client: APIClient, user: User, name: str, parameters: dict[str, str], pointer: str
    ) -> None:
        job = queued_training(user)
        response = client.get(f"/api/v1/jobs/{job.pk}/{name}", parameters)
        assert {found[0] for found in field_problems(response)} == {pointer}


class TestArtifacts:
    def test_pages_in_order_without_gaps(self, client: APIClient, user: User) -> None:
        published_model(user, "m")
        job = finish_generation(queued_generation(user, "m", count=7))
        path = f"/api/v1/generations/{job.pk}/artifacts"
        collected, url = [], f"{path}?limit=3"
        while url:
            page = body(client.get(url), 200)
            assert len(page["results"]) <= 3
            collected += page["results"]
            url = page["next"]
        images = [item for item in collected if item["role"] == "image"]
        assert [item["index"] for item in images] == list(range(7))
        assert len(collected) == 8
        assert results(client, path, role="grid")[0]["filename"] == "grid.png"
        assert results(client, path, role="nothing") == []
        one = body(client.get(f"/api/v1/artifacts/{images[4]['id']}"), 200)
        assert httpx.get(one["url"]).content == f"image 4 of {job.pk}".encode()
        assert (one["sha256"], one["size"]) == (images[4]["sha256"], len(f"image 4 of {job.pk}"))
        expires_at = parse_datetime(one["expires_at"])
        assert expires_at is not None
        assert timedelta(minutes=14) < expires_at - timezone.now() <= timedelta(minutes=15)

    def test_a_running_job_shows_previews_alone(self, client: APIClient, user: User) -> None:
        claim = start(queued_training(user))
        assert results(client, f"/api/v1/jobs/{claim.job.pk}/artifacts") == []
        file = finished._store(claim, finished.File("preview", 100, b"png", "p.png", "image/png"))
        publish_preview(claim.job, claim.fence, file, actor=claim.actor)
        [preview] = results(client, f"/api/v1/jobs/{claim.job.pk}/artifacts")
        assert (preview["role"], preview["index"]) == ("preview", 100)

    def test_a_page_costs_three_queries(
        self, client: APIClient, user: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        published_model(user, "m")
        job = finish_generation(queued_generation(user, "m", count=9))
        client.get("/api/v1/jobs")
        with django_assert_num_queries(3):  # token, job, artifacts
            assert len(results(client, f"/api/v1/jobs/{job.pk}/artifacts")) == 10


class TestActions:
    def test_cancel_of_a_queued_job_is_done_at_once_and_repeats_change_nothing(
        self, client: APIClient, user: User
    ) -> None:
        job = queued_training(user)
        first = body(post(client, job, "cancel", "trainings"), 200)
        assert (first["status"], first["status_reason"]) == ("canceled", "user")
        events = results(client, first["urls"]["events"])
        assert body(post(client, job, "cancel"), 200) == first
        assert results(client, first["urls"]["events"]) == events

    def test_cancel_of_a_running_job_is_accepted(self, client: APIClient, user: User) -> None:
        claim = start(queued_training(user))
        assert body(post(client, claim.job, "cancel"), 202)["status"] == "canceling"
        assert body(post(client, claim.job, "cancel"), 202)["status"] == "canceling"
        leases.confirm_canceled(claim.job, claim.fence, actor=claim.actor)
        assert body(post(client, claim.job, "cancel"), 200)["status"] == "canceled"

    def test_cancel_of_a_finished_job_shows_it_unchanged(self, client: APIClient, user: User) -> None:
        job = finish_training(queued_training(user))
        before = detail(client, job)
        assert body(post(client, job, "cancel"), 200) == before
        assert detail(client, job) == before

    def test_pause_and_resume(self, client: APIClient, user: User) -> None:
        job = queued_training(user)
        assert body(post(client, job, "pause"), 200)["status"] == "paused"
        assert body(post(client, job, "pause"), 200)["status"] == "paused"
        assert body(post(client, job, "resume"), 202)["status"] == "queued"
        assert body(post(client, job, "resume"), 202)["status"] == "queued"
        claim = start(job)
        assert body(post(client, claim.job, "pause"), 202)["status"] == "pausing"
        assert problem(post(client, claim.job, "resume"), 409)["code"] == "job.invalid_transition"

    def test_what_a_state_does_not_allow_is_a_conflict(self, client: APIClient, user: User) -> None:
        job = finish_training(queued_training(user, model="m"))
        assert problem(post(client, job, "pause"), 409)["code"] == "job.invalid_transition"
        assert problem(post(client, job, "resume"), 409)["code"] == "job.invalid_transition"
        generation = start(queued_generation(user, "m")).job
        assert problem(post(client, generation, "pause"), 409)["code"] == "job.not_resumable"
        assert problem(post(client, generation, "retry"), 409)["code"] == "job.invalid_transition"

    def test_retry_is_a_new_job_with_the_same_spec(self, client: APIClient, user: User) -> None:
        job = fail(queued_training(user), {"code": "x", "message": "x", "errors": []})
        response = post(client, job, "retry", "trainings")
        again = body(response, 202)
        assert (again["retried_from"], again["status"], again["spec"]) == (str(job.pk), "queued", job.spec)
        assert response.headers["Location"] == again["urls"]["self"]
        assert detail(client, job)["status"] == "failed"

    def test_a_retry_that_was_sent_twice_is_one_job_and_after_its_end_there_may_be_another(
        self, client: APIClient, user: User
    ) -> None:
        job = fail(queued_training(user), {"code": "x", "message": "x", "errors": []})
        first = body(post(client, job, "retry", "trainings"), 202)
        assert body(post(client, job, "retry", "trainings"), 202)["id"] == first["id"]
        start(Job.objects.get(pk=first["id"]))
        assert body(post(client, job, "retry"), 202)["id"] == first["id"], "the same while it runs"
        client.post(first["urls"]["cancel"])
        leases.confirm_canceled((held := Job.objects.get(pk=first["id"])), held.fence, actor="worker:x")
        second = body(post(client, job, "retry"), 202)
        assert second["id"] != first["id"]
        assert second["retried_from"] == str(job.pk)
        history = results(client, second["urls"]["events"])
        assert [event["type"] for event in history] == ["training.queued", "training.retry"]

    def test_a_retry_with_a_key_is_the_same_job_for_ever_and_another_key_makes_another(
        self, client: APIClient, user: User
    ) -> None:
        dataset = ready_dataset(user)
        error = {"code": "x", "message": "x", "errors": []}
        job, other = (fail(queued_training(user, dataset), error) for _ in range(2))

        def retry(key: str, of: Job = job) -> Any:
            return client.post(f"/api/v1/trainings/{of.pk}/retry", headers={"Idempotency-Key": key})

        first = body(retry("a"), 202)
        assert body(retry("b"), 202)["id"] != first["id"]
        client.post(first["urls"]["cancel"])
        again = retry("a")
        assert (body(again, 202)["id"], again.json()["status"]) == (first["id"], "canceled")
        assert problem(retry("a", other), 422)["code"] == "request.idempotency_mismatch"
        assert Job.objects.filter(retried_from=job).count() == 2
        assert not Job.objects.filter(retried_from=other).exists()

    def test_the_actor_is_the_caller(self, client: APIClient, user: User) -> None:
        job = queued_training(user)
        post(client, job, "cancel")
        assert results(client, f"/api/v1/jobs/{job.pk}/events")[-1]["actor"] == f"user:{user.pk}"


def test_queues_and_workers_show_how_busy_the_platform_is(client: APIClient, stranger: User) -> None:
    dataset = ready_dataset(stranger)
    start(queued_training(stranger, dataset))
    queued_training(stranger, dataset)
    gone = register_worker(name="gone", host="h", boot_id="b", pid=1, devices=[], queues=["gpu.train"])
    retire_worker(gone)
    queues = {item["name"]: item for item in results(client, "/api/v1/queues")}
    assert queues.keys() >= {"cpu.io", "gpu.train", "gpu.sample"}
    train = queues["gpu.train"]
    assert (train["queued"], train["running"]) == (1, 1)
    assert train["oldest_queued_at"] is not None
    assert queues["gpu.sample"] == {
        "name": "gpu.sample", "queued": 0, "running": 0, "workers": 0, "oldest_queued_at": None,
    }  # fmt: skip
    workers = results(client, "/api/v1/workers")
    assert "gone" not in {worker["name"] for worker in workers}
    assert train["workers"] == sum("gpu.train" in worker["queues"] for worker in workers) > 0
    assert workers[0].keys() == {"id", "name", "state", "queues", "devices", "started_at", "last_beat_at"}
