"""What PostgreSQL itself refuses, whoever writes: raw SQL against constraints and triggers."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from aigc_platform.jobs.models import Artifact, Attempt, Job, JobEvent
from aigc_platform.jobs.states import LEASED, TERMINAL, JobStatus
from tests.factories.jobs import claim_new, complete, job_in, stored_file, submit

pytestmark = pytest.mark.django_db


def _execute(sql: str, *parameters: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


@pytest.mark.parametrize("status", sorted(TERMINAL))
@pytest.mark.parametrize("target", ["queued", "running", "succeeded", "failed", "canceled", "expired"])
def test_no_update_leaves_a_terminal_state(status: JobStatus, target: str) -> None:
    job = job_in(status)
    if target == status:
        _execute("UPDATE jobs_job SET status = %s WHERE id = %s", target, job.pk)
        return
    with pytest.raises(IntegrityError, match=f"is {status.value}, which is final"):
        _execute("UPDATE jobs_job SET status = %s WHERE id = %s", target, job.pk)


@pytest.mark.parametrize("status", sorted(LEASED))
@pytest.mark.parametrize("column", ["lease_worker_id", "lease_expires_at"])
def test_a_held_job_cannot_lose_half_its_lease(status: JobStatus, column: str) -> None:
    job = job_in(status)
    with pytest.raises(IntegrityError, match="job_lease_set_exactly_while_leased"):
        _execute(f"UPDATE jobs_job SET {column} = NULL WHERE id = %s", job.pk)  # noqa: S608 — a column name of ours


def test_a_waiting_job_cannot_have_a_lease() -> None:
    claim = claim_new()
    waiting = submit()
    with pytest.raises(IntegrityError, match="job_lease_set_exactly_while_leased"):
        _execute(
            "UPDATE jobs_job SET lease_worker_id = %s, lease_expires_at = now() WHERE id = %s",
            claim.worker.pk,
            waiting.pk,
        )
    with pytest.raises(IntegrityError, match="job_lease_set_exactly_while_leased"):
        _execute("UPDATE jobs_job SET status = 'running' WHERE id = %s", waiting.pk)


def test_the_end_has_a_time_and_only_the_end() -> None:
    with pytest.raises(IntegrityError, match="job_finished_at_set_exactly_in_terminal_states"):
        _execute("UPDATE jobs_job SET status = 'canceled' WHERE id = %s", submit().pk)
    with pytest.raises(IntegrityError, match="job_finished_at_set_exactly_in_terminal_states"):
        _execute("UPDATE jobs_job SET finished_at = now() WHERE id = %s", submit().pk)
    ended = job_in(JobStatus.CANCELED)
    with pytest.raises(IntegrityError, match="job_finished_at_set_exactly_in_terminal_states"):
        _execute("UPDATE jobs_job SET finished_at = NULL WHERE id = %s", ended.pk)


def test_a_status_of_another_spelling_is_refused() -> None:
    with pytest.raises(IntegrityError, match="job_status_is_known"):
        _execute("UPDATE jobs_job SET status = 'cancelled' WHERE id = %s", submit().pk)


def test_a_fence_never_falls() -> None:
    job = complete(claim_new())
    with pytest.raises(IntegrityError, match="cannot fall from 2 to 1"):
        _execute("UPDATE jobs_job SET fence = 1 WHERE id = %s", job.pk)
    _execute("UPDATE jobs_job SET fence = 3 WHERE id = %s", job.pk)


@pytest.mark.parametrize(
    "sql", ["UPDATE jobs_jobevent SET type = 'toy.rewritten'", "DELETE FROM jobs_jobevent"]
)
def test_history_cannot_be_rewritten(sql: str) -> None:
    submit()
    with pytest.raises(IntegrityError, match="append-only"):
        _execute(sql)
    assert JobEvent.objects.get().type == "toy.queued"


def test_a_job_with_history_cannot_be_deleted() -> None:
    job = submit()
    # Foreign keys are checked at the end of the transaction unless told otherwise.
    _execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError, match="jobs_jobevent"):
        _execute("DELETE FROM jobs_job WHERE id = %s", job.pk)


def _copy_of(row: Any, **changes: Any) -> Any:
    fields = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if not field.primary_key
    }
    return type(row)(**fields | changes)


def test_a_job_has_one_event_per_number_one_attempt_per_fence_and_one_file_per_place() -> None:
    claim = claim_new()
    complete(claim, stored_file(claim))
    rows: list[tuple[Any, dict[str, Any], str]] = [
        (JobEvent.objects.earliest("seq"), {}, "job_event_seq_unique_per_job"),
        (Attempt.objects.get(), {"number": 2}, "attempt_fence_unique_per_job"),
        (Attempt.objects.get(), {"fence": 9}, "attempt_number_unique_per_job"),
        (Artifact.objects.get(), {"key": "other"}, "artifact_role_index_unique_per_job"),
        (Artifact.objects.get(), {"index": 9}, "key"),
    ]
    for row, changes, constraint in rows:
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            _copy_of(row, **changes).save(force_insert=True)


def test_an_attempt_has_an_outcome_exactly_when_it_has_ended() -> None:
    claim_new()
    for sql in ("SET ended_at = now()", "SET outcome = 'failed'"):
        with pytest.raises(IntegrityError, match="attempt_outcome_set_exactly_when_ended"):
            _execute(f"UPDATE jobs_attempt {sql}")


def test_keys_are_unique_per_owner() -> None:
    job = submit(idempotency_key="k")
    twin = _copy_of(Job.objects.get(pk=job.pk))
    with pytest.raises(IntegrityError, match="job_idempotency_key_unique_per_owner"), transaction.atomic():
        twin.save(force_insert=True)
