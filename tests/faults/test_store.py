"""Faults 3, 11 and 16: a store that refuses, hangs or forgets, checkpoints cut short, checkpoints that rot."""

import time
from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from aigc_platform.jobs.models import Artifact, Checkpoint, Job, JobEvent
from aigc_platform.jobs.services import request_pause, resume_job
from aigc_platform.jobs.states import JobStatus
from aigc_platform.storage import keys
from aigc_platform.storage.object_store import get_object_store
from tests.faults.addresses import store_proxy, store_url
from tests.faults.figures import Figures
from tests.faults.outages import STORE_OUTAGES
from tests.faults.proxy import PASS, Fault, Proxy
from tests.faults.stack import (
    FaultStack,
    assert_result_is_right,
    attempts,
    wait_for_end,
    wait_for_status,
)
from tests.probe.apps import FAILPOINTS
from tests.processes import wait_for
from tests.services import Services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def proxy(services: Services) -> Iterator[Proxy]:
    started = store_proxy(services)
    yield started
    started.close()


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    proxy: Proxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """An engine, and workers that reach the store through the proxy."""
    with django_db_blocker.unblock():
        get_object_store().ensure_bucket()
        started = FaultStack(tmp_path_factory.mktemp("faults"), S3_ENDPOINT_URL=store_url(proxy))
        started.start_engine()
        try:
            yield started
        finally:
            started.stop()
            call_command("flush", interactive=False, verbosity=0)


@pytest.mark.fault(11)
@pytest.mark.parametrize("outage", STORE_OUTAGES)
def test_a_store_in_trouble_delays_publication_and_no_training(
    stack: FaultStack, proxy: Proxy, outage: str, figures: Figures
) -> None:
    stack.need_workers(2)
    job = stack.submit(steps=30, seed=1)
    stack.wait_for_step(job, 2)
    with proxy.broken(STORE_OUTAGES[outage]):
        stack.wait_for_step(job, 30)
        time.sleep(1)
        if outage != "slow":
            job.refresh_from_db()
            assert not job.is_terminal
    healed = time.monotonic()
    assert_result_is_right(wait_for_end(job))
    assert len(attempts(job)) == 1
    figures.recovered(time.monotonic() - healed)


@pytest.mark.fault(11)
def test_writes_whose_answers_are_lost_leave_one_set_of_files(stack: FaultStack, proxy: Proxy) -> None:
    stack.need_workers(2)
    cuts = proxy.cuts
    proxy.set(Fault("cut", pattern=b"PUT /"))
    try:
        job = stack.submit(steps=12, artifacts=3, seed=2)
        wait_for(lambda: proxy.cuts >= cuts + 6, seconds=30, what="six lost answers")
    finally:
        proxy.set(PASS)
    assert_result_is_right(wait_for_end(job))
    assert len(attempts(job)) == 1
    stored = {info.key for info in get_object_store().list_keys(keys.job_prefix(job.pk))}
    assert stored == set(Artifact.objects.filter(job=job).values_list("key", flat=True))


_PLACES_OF_STORING = [place for place in FAILPOINTS if place not in {"rings.published", "lease.renewing"}]


@pytest.mark.fault(3)
@pytest.mark.parametrize("place", _PLACES_OF_STORING)
def test_a_worker_that_dies_at_any_point_of_storing_leaves_a_whole_checkpoint_or_none(
    stack: FaultStack, place: str
) -> None:
    stack.need_workers(2)
    request = stack.let_die_at(place)
    job = stack.submit(steps=14, seed=3)
    wait_for(lambda: not request.exists(), seconds=30, what=place)
    assert_result_is_right(wait_for_end(job))
    assert len(attempts(job)) == (1 if place == "results.published" else 2)
    for checkpoint in Checkpoint.objects.filter(job=job):
        for facts in checkpoint.files.values():
            assert get_object_store().head(facts["key"]).sha256 == facts["sha256"]


def _paused_with_checkpoints(stack: FaultStack, count: int) -> tuple[Job, list[Checkpoint]]:
    stack.need_workers(2)
    job = stack.submit(steps=70, seed=4)
    wait_for(
        lambda: Checkpoint.objects.filter(job=job).count() >= count, seconds=30, what=f"{count} checkpoints"
    )
    request_pause(job.pk, actor="test")
    wait_for_status(job, JobStatus.PAUSED)
    return job, list(Checkpoint.objects.filter(job=job).order_by("-fence", "-step"))


def _truncate(key: str, content: bytes) -> None:
    get_object_store().delete(key)
    get_object_store().put_bytes(key, content[:-1], media_type="application/octet-stream")


def _flip(key: str, content: bytes) -> None:
    get_object_store().delete(key)
    flipped = bytes([content[0] ^ 1]) + content[1:]
    get_object_store().put_bytes(key, flipped, media_type="application/octet-stream")


def _delete(key: str, _content: bytes) -> None:
    get_object_store().delete(key)


_SPOIL: dict[str, Callable[[str, bytes], None]] = {
    "truncated": _truncate,
    "flipped": _flip,
    "deleted": _delete,
}


@pytest.mark.fault(16)
@pytest.mark.parametrize("how", _SPOIL)
def test_a_rotten_newest_checkpoint_is_passed_over_with_an_alert(stack: FaultStack, how: str) -> None:
    job, (newest, second, *_) = _paused_with_checkpoints(stack, 2)
    facts = newest.files["state.json"]
    _SPOIL[how](facts["key"], get_object_store().get_range(facts["key"], 0, facts["size"]))
    resume_job(job.pk, actor="test")
    assert_result_is_right(wait_for_end(job))

    assert attempts(job)[-1].resumed_from == second
    newest.refresh_from_db()
    assert newest.is_corrupt
    alert = JobEvent.objects.get(job=job, type="probe.checkpoint.corrupt")
    assert (alert.data["checkpoint"], alert.data["step"]) == (str(newest.pk), newest.step)


@pytest.mark.fault(16)
def test_without_any_whole_checkpoint_a_job_begins_anew(stack: FaultStack) -> None:
    job, checkpoints = _paused_with_checkpoints(stack, 1)
    for checkpoint in checkpoints:
        get_object_store().delete(checkpoint.files["state.json"]["key"])
    resume_job(job.pk, actor="test")
    assert_result_is_right(wait_for_end(job))
    assert attempts(job)[-1].resumed_from is None
    assert job.recoveries == 0
