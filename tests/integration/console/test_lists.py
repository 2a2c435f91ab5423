"""Finding jobs: filters, search, and lists that stay quick with many rows."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from aigc_platform.accounts.models import User
from aigc_platform.console import paging
from aigc_platform.console.read_only import ReadOnlyAdmin
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.states import JobStatus
from tests.factories.accounts import make_user
from tests.factories.jobs import RIGID, TOY, job_in, submit
from tests.factories.showcase import Showcase

LIST = "admin:jobs_job_changelist"
MANY = 10_000


def listed(console: Client, **query: Any) -> set[str]:
    """Return the ids of the jobs that the list shows."""
    answer = console.get(reverse(LIST), query)
    assert answer.status_code == 200
    return set(re.findall(r"/admin/jobs/job/([0-9a-f-]{36})/change/", answer.content.decode()))


def ids(*jobs: Job) -> set[str]:
    return {str(job.pk) for job in jobs}


def test_jobs_are_filtered_by_kind_status_and_owner(console: Client) -> None:
    owner = make_user()
    mine = submit(owner)
    rigid = submit(kind=RIGID.name)
    ended = job_in(JobStatus.CANCELED)

    assert listed(console, kind=RIGID.name) == ids(rigid)
    assert listed(console, status="canceled") == ids(ended)
    assert listed(console, status=["canceled", "queued"], kind=TOY.name) == ids(mine, ended)
    assert listed(console, owner__id__exact=owner.pk) == ids(mine)
    assert listed(console, kind="no such kind") == set()


def test_jobs_are_found_by_id_label_and_model(console: Client, shown: Showcase) -> None:
    labelled = submit(labels={"team": "vision", "run": "42"})

    assert listed(console, q=str(labelled.pk)) == ids(labelled)
    assert listed(console, q=str(labelled.pk)[-12:].upper()) == ids(labelled)
    assert listed(console, q="vision") == ids(labelled)
    assert listed(console, q="team=vision") == ids(labelled)
    assert listed(console, q="team=visio") == set()
    assert listed(console, q="broken-dig") == ids(shown.failed)
    assert listed(console, q="my-digits:1") == ids(shown.generated, shown.queued)
    assert listed(console, q="holiday") == {str(shown.rejected.import_job_id)}


def test_a_search_term_is_no_pattern_and_no_html(console: Client) -> None:
    submit(labels={"note": "50% off"})
    submit(labels={"note": "nothing"})

    assert len(listed(console, q="50%")) == 1
    assert listed(console, q="%%") == set()
    page = console.get(reverse(LIST), {"q": '"><script>alert(1)</script>'}).content.decode()
    assert "<script>alert(1)" not in page


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(paging, "COUNT_CAP", 3)
    monkeypatch.setattr(ReadOnlyAdmin, "count_cap", 3)
    return 3


def test_counting_stops_at_the_cap_and_says_so(console: Client, few_are_many: int) -> None:
    for _ in range(few_are_many + 2):
        submit()

    page = console.get(reverse(LIST)).content.decode()

    assert "Only 3 rows are counted" in page
    assert "5 jobs" not in page


def test_the_list_asks_the_same_questions_for_few_and_many_jobs(console: Client) -> None:
    def questions() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            listed(console)
        return len(asked)

    submit()
    before = questions()
    for _ in range(10):
        job_in(JobStatus.CANCELED)

    assert questions() == before


def test_ten_thousand_jobs_are_listed_by_index_and_never_counted_whole(console: Client) -> None:
    owner = make_user()
    _insert_many(owner)

    with CaptureQueriesContext(connection) as asked:
        assert len(listed(console)) == 50
    asked_sql = [query["sql"] for query in asked if 'FROM "jobs_job"' in query["sql"]]
    assert all("LIMIT" in sql for sql in asked_sql)
    [page_sql] = [sql for sql in asked_sql if "COUNT" not in sql]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
        cursor.execute(f"EXPLAIN {page_sql}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "job_newest" in plan
    assert "Seq Scan on jobs_job" not in plan


def _insert_many(owner: User) -> None:
    """Copy a job without its history: this test is about the size of the table alone."""
    sample = Job.objects.create(
        owner=owner,
        kind=TOY.name,
        queue=TOY.queue,
        spec={"steps": 1},
        spec_sha256="0" * 64,
        status=JobStatus.PAUSED,
    )
    columns = ", ".join(str(field.column) for field in Job._meta.concrete_fields if not field.primary_key)
    copy = (
        f"INSERT INTO jobs_job (id, {columns}) SELECT gen_random_uuid(), {columns} "  # noqa: S608 — Django's own names
        "FROM jobs_job, generate_series(2, %s) WHERE id = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(copy, [MANY, sample.pk])
    assert Job.objects.count() == MANY
