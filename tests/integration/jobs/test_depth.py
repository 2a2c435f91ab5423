"""A full queue refuses, a retry of an accepted request does not, and far from full nobody counts."""

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from aigc_platform.jobs.depth import count_queues, refuse_if_full
from aigc_platform.jobs.exceptions import QueueFullError
from aigc_platform.jobs.models import Job, QueueDepth
from tests.factories.accounts import make_user
from tests.factories.jobs import RIGID, TOY, claim_one, submit

pytestmark = pytest.mark.django_db


def test_the_queue_is_full_at_its_limit_and_takes_jobs_again_when_one_leaves(settings: LazySettings) -> None:
    settings.QUEUE_MAX_JOBS = 3
    for _ in range(3):
        submit()
    with pytest.raises(QueueFullError):
        submit()
    assert submit(kind=RIGID.name).queue == RIGID.queue, "another queue is not full"
    assert Job.objects.filter(queue=TOY.queue).count() == 3
    while claim_one().job.queue != TOY.queue:
        pass
    submit()


def test_a_repeated_request_gets_its_job_from_a_full_queue(settings: LazySettings) -> None:
    settings.QUEUE_MAX_JOBS = 1
    owner = make_user()
    first = submit(owner, idempotency_key="k", request_sha256="r")
    assert submit(owner, idempotency_key="k", request_sha256="r") == first


def test_near_the_limit_a_stale_count_is_not_trusted(settings: LazySettings) -> None:
    settings.QUEUE_MAX_JOBS = 4
    submit()
    count_queues()
    assert QueueDepth.objects.get(pk=TOY.queue).queued == 1
    QueueDepth.objects.filter(pk=TOY.queue).update(queued=2)
    for _ in range(3):
        submit()
    with pytest.raises(QueueFullError):
        submit()


def test_far_from_the_limit_no_job_is_counted() -> None:
    count_queues()
    with CaptureQueriesContext(connection) as captured:
        refuse_if_full(TOY.queue)
    assert not any("jobs_job" in query["sql"] for query in captured.captured_queries)
    assert count_queues() == 0, "counted a moment ago"
