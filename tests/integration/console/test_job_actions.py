"""Cancel, pause, resume and retry from the list and from a job's page: one service call each, honestly told."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from aigc_platform.accounts.models import User
from aigc_platform.console import jobs as console_jobs
from aigc_platform.console.job_actions import ACTIONS
from aigc_platform.jobs.models import Job, JobEvent
from aigc_platform.jobs.states import JobStatus
from tests.factories.jobs import RIGID, TOY, job_in

S = JobStatus
LIST = "admin:jobs_job_changelist"

# What each action makes of a job that keeps checkpoints; None: refused, the job stays as it is.
EXPECTED: dict[str, dict[JobStatus, JobStatus | None]] = {
    "cancel": {
        S.QUEUED: S.CANCELED,
        S.STARTING: S.CANCELING,
        S.RUNNING: S.CANCELING,
        S.FINALIZING: S.CANCELING,
        S.PAUSING: S.CANCELING,
        S.PAUSED: S.CANCELED,
        S.CANCELING: None,
        S.SUCCEEDED: None,
        S.FAILED: None,
        S.CANCELED: None,
        S.EXPIRED: None,
    },
    "pause": {
        S.QUEUED: S.PAUSED,
        S.STARTING: S.PAUSING,
        S.RUNNING: S.PAUSING,
        S.FINALIZING: S.PAUSING,
        S.PAUSING: None,
        S.PAUSED: None,
        S.CANCELING: None,
        S.SUCCEEDED: None,
        S.FAILED: None,
        S.CANCELED: None,
        S.EXPIRED: None,
    },
    "resume": dict.fromkeys(JobStatus) | {S.PAUSED: S.QUEUED},
}
CASES = [(name, status) for name, results in EXPECTED.items() for status in results]


def select(client: Client, name: str, *jobs: Job, across: bool = False) -> list[str]:
    """Do what the list's form does and return the messages it leads to."""
    form = {
        "action": f"{name}_jobs",
        "_selected_action": [str(job.pk) for job in jobs],
        "select_across": "1" if across else "0",
        "index": "0",
    }
    answer = client.post(reverse(LIST), form)
    assert answer.status_code == 302
    return messages(answer)


def press(client: Client, name: str, job: Job) -> list[str]:
    """Press a button on the job's page and return the messages it leads to."""
    answer = client.post(reverse("admin:jobs_job_do", args=[job.pk, name]))
    assert answer.status_code == 302
    return messages(answer)


def messages(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def status_of(job: Job) -> str:
    return Job.objects.values_list("status", flat=True).get(pk=job.pk)


@pytest.mark.parametrize(("name", "status"), CASES)
def test_the_list_acts_or_names_the_refused_job(
    console: Client, admin: User, name: str, status: JobStatus
) -> None:
    job = job_in(status)
    target = EXPECTED[name][status]

    [message] = select(console, name, job)

    assert status_of(job) == (target or status)
    if target is None:
        assert message.startswith(f"1 job refused. {job}: ")
        assert status in message
    else:
        assert message == ACTIONS[name].done[0] % {"count": 1}
        event = JobEvent.objects.filter(job=job).order_by("-seq")[0]
        assert (event.actor, event.data["to"]) == (f"admin:{admin.pk}", target)


@pytest.mark.parametrize("status", list(JobStatus))
def test_only_an_ended_job_is_submitted_again(console: Client, admin: User, status: JobStatus) -> None:
    job = job_in(status)

    [message] = select(console, "retry", job)

    assert status_of(job) == status
    if job.is_terminal:
        new = job.retries.get()
        assert message == "1 job submitted again."
        assert (new.owner, new.status, new.spec) == (job.owner, S.QUEUED, job.spec)
        assert new.events.get(type="toy.retry").actor == f"admin:{admin.pk}"
    else:
        assert message.startswith(f"1 job refused. {job}: The job is {status}; cancel it first")
        assert not job.retries.exists()


def test_done_and_refused_jobs_are_counted_apart(console: Client) -> None:
    ended = [job_in(S.SUCCEEDED), job_in(S.CANCELED)]
    waiting = [job_in(S.QUEUED), job_in(S.PAUSED), job_in(S.QUEUED)]

    done, refused = select(console, "cancel", *ended, *waiting)

    assert done == "3 jobs told to cancel."
    assert refused.startswith("2 jobs refused. ")
    assert f"{ended[0]}: The job is succeeded already" in refused
    assert f"{ended[1]}: The job is canceled already" in refused
    assert [status_of(job) for job in waiting] == [S.CANCELED] * 3


def test_many_refusals_are_counted_and_ten_named(console: Client) -> None:
    jobs = [job_in(S.CANCELED) for _ in range(12)]

    [refused] = select(console, "pause", *jobs)

    assert refused.startswith("12 jobs refused. ")
    assert refused.endswith("; and 2 more.")
    assert refused.count("toy 0") == 10


def test_a_job_without_checkpoints_cannot_be_paused_while_it_runs(console: Client) -> None:
    job = job_in(S.RUNNING, kind=RIGID.name)

    [refused] = press(console, "pause", job)

    assert "keeps no checkpoints" in refused
    assert status_of(job) == S.RUNNING
    page = console.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()
    assert "/do/cancel/" in page
    assert "/do/pause/" not in page


def test_a_spec_of_an_older_release_is_refused_with_a_reason(console: Client) -> None:
    job = job_in(S.FAILED)
    Job.objects.filter(pk=job.pk).update(spec={"steps": "as many as before"})

    [refused] = press(console, "retry", job)

    assert refused == f"1 job refused. {job}: Its spec does not fit this release; submit a new job."


def test_a_cancel_by_an_operator_says_so(console: Client) -> None:
    job = job_in(S.QUEUED)

    press(console, "cancel", job)

    job.refresh_from_db()
    assert (job.status, job.status_reason, job.desired) == (S.CANCELED, "admin", "cancel")


@pytest.mark.parametrize("status", list(JobStatus))
def test_only_an_ended_job_is_deleted_once_and_its_page_says_so(
    console: Client, admin: User, status: JobStatus
) -> None:
    job = job_in(status)

    [message] = press(console, "delete", job)

    job.refresh_from_db()
    assert job.status == status
    if not job.is_terminal:
        assert message.startswith(f"1 job refused. {job}: The job is {status}; cancel it first")
        assert job.deletion_requested_at is None
        return
    assert message == "The files of 1 job are deleted."
    assert job.deletion_requested_by == f"admin:{admin.pk}"
    page = console.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()
    assert "the engine is at it" in page
    assert "/do/delete/" not in page
    assert press(console, "delete", job) == [f"1 job refused. {job}: It is deleted already."]


def test_submitting_again_leads_to_the_new_job(console: Client) -> None:
    job = job_in(S.FAILED)

    answer = console.post(reverse("admin:jobs_job_do", args=[job.pk, "retry"]))

    assert answer["location"] == reverse("admin:jobs_job_change", args=[job.retries.get().pk])


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_page_offers_exactly_what_would_not_be_refused(console: Client, status: JobStatus) -> None:
    job = job_in(status)

    page = console.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()

    offered = {name for name in ACTIONS if f"/do/{name}/" in page}
    possible = {name for name, results in EXPECTED.items() if results[status]}
    assert offered == possible | ({"retry", "delete"} if job.is_terminal else set())


def test_everything_that_is_filtered_can_be_chosen_at_once(console: Client) -> None:
    jobs = [job_in(S.QUEUED) for _ in range(3)]

    [done] = select(console, "cancel", jobs[0], across=True)

    assert done == "3 jobs told to cancel."
    assert {status_of(job) for job in jobs} == {S.CANCELED}


def test_too_many_at_once_are_refused_as_a_whole(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_jobs, "MOST_AT_ONCE", 2)
    jobs = [job_in(S.QUEUED) for _ in range(3)]

    [message] = select(console, "cancel", *jobs)

    assert message.startswith("Nothing was done: choose at most 2 jobs at a time")
    assert {status_of(job) for job in jobs} == {S.QUEUED}


def test_an_action_is_posted_with_a_token_and_exists(admin: User) -> None:
    job = job_in(S.QUEUED, kind=TOY.name)
    url = reverse("admin:jobs_job_do", args=[job.pk, "cancel"])
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(admin)
    console = Client()
    console.force_login(admin)

    assert careful.post(url).status_code == 403
    assert console.get(url).status_code == 405
    assert console.post(reverse("admin:jobs_job_do", args=[job.pk, "destroy"])).status_code == 404
    nothing = reverse("admin:jobs_job_do", args=["018f0000-0000-7000-8000-000000000000", "cancel"])
    assert console.post(nothing).status_code == 404
    assert status_of(job) == S.QUEUED
