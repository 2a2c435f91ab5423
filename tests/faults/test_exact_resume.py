"""Fault 3 and promise R1: a real training, killed anywhere, ends with the very weights of one never disturbed."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from aigc_platform.datasets.models import Dataset
from aigc_platform.jobs.models import Artifact, Checkpoint, Job
from aigc_platform.jobs.services import Submission
from aigc_platform.jobs.states import JobStatus
from aigc_platform.storage.object_store import get_object_store
from aigc_platform.studio.services import NewTraining, submit_training
from tests.factories.studio import import_digits
from tests.faults.figures import Figures
from tests.faults.stack import IS_MEASURED, FaultStack, attempts, child_of, wait_for_end
from tests.probe.spec import WRITING_FAILPOINT
from tests.processes import runner_of, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]

_CONFIG: dict[str, Any] = {
    "kimg": 4,
    "batch_size": 16,
    "latent_size": 8,
    "generator_channels": 4,
    "discriminator_channels": 4,
    "deterministic": True,
    "tick_seconds": 0.1,
    "grid_seconds": 0,
}
_KILLS = ("runner", "child", "parent")
_FAILPOINTS = ("checkpoint.uploading", "checkpoint.uploaded", "checkpoint.committed")
_WRITES = 6
"""Of one training state: its document, three files and folders made durable, the rename before the last."""


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultStack]:
    """An engine, and workers that recover a training at once, however often it dies."""
    with django_db_blocker.unblock():
        get_object_store().ensure_bucket()
        started = FaultStack(
            tmp_path_factory.mktemp("faults"),
            RECOVERY_DELAY_SECONDS="0.01",
            STALL_SECONDS="60",
        )
        started.start_engine()
        try:
            yield started
        finally:
            started.stop()
            call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def dataset(stack: FaultStack) -> Dataset:
    stack.need_workers(2)
    imported = import_digits(stack.owner)
    assert imported.import_job is not None
    wait_for_end(imported.import_job)
    return imported


@pytest.fixture(scope="module")
def calm(stack: FaultStack, dataset: Dataset) -> Job:
    """The same training when nobody disturbs it: over before the first failpoint, which any worker may reach."""
    return wait_for_end(_train(stack, dataset), seconds=180)


def _train(stack: FaultStack, dataset: Dataset) -> Job:
    new = NewTraining(dataset=dataset.pk, recipe="dcgan", config=_CONFIG)
    job = submit_training(owner=stack.owner, new=new, submission=Submission())
    # More deaths than any training should survive, and each with a checkpoint in between or without.
    Job.objects.filter(pk=job.pk).update(max_recoveries=100)
    stack.submitted.append(job)
    return job


def _weights(job: Job) -> str:
    wait_for_end(job, seconds=180)
    assert job.status == JobStatus.SUCCEEDED, job.error
    return Artifact.objects.get(job=job, role="snapshot", index=0).sha256


@pytest.mark.fault(3)
def test_a_training_killed_anywhere_ends_with_the_weights_of_one_never_disturbed(
    stack: FaultStack, dataset: Dataset, calm: Job, figures: Figures, seed: int
) -> None:
    dice = random.Random(seed)
    places = _places(dice)
    moments = sorted(dice.uniform(0.02, 0.85) * _CONFIG["kimg"] * 1000 for _ in places)
    job = _train(stack, dataset)
    for place, moment in zip(places, moments, strict=True):
        _wait_until_trained(job, moment)
        _kill(stack, job, place, dice)
    assert _weights(job) == _weights(calm)

    assert len(attempts(calm)) == 1
    ended = [attempt.outcome for attempt in attempts(job)]
    assert len(ended) == len(places) + 1, ended
    assert attempts(job)[-1].resumed_from is not None
    figures.measured("deaths of one training", len(places))
    for checkpoint in Checkpoint.objects.filter(job__in=[calm, job]):
        figures.measured("training stands still for a checkpoint (ms)", checkpoint.stall_ms)


def _places(dice: random.Random) -> list[str]:
    """Return where to die, in random order: everywhere where figures are wanted, else at four places."""
    kills, failpoints = list(_KILLS), list(_FAILPOINTS)
    if not IS_MEASURED:
        kills, failpoints = dice.sample(kills, 2), dice.sample(failpoints, 1)
    places = [*kills, WRITING_FAILPOINT, *failpoints]
    dice.shuffle(places)
    return places


def _wait_until_trained(job: Job, images: float) -> None:
    """Wait until a runner works on the job and has come so far."""

    def has_come() -> bool:
        job.refresh_from_db()
        return job.status == JobStatus.RUNNING and job.progress.get("current", 0) >= images

    wait_for(has_come, seconds=60, what=f"{images:.0f} images of {job}")


def _kill(stack: FaultStack, job: Job, place: str, dice: random.Random) -> None:
    """End the process that this place names, and wait until the attempt is over."""
    fence = job.fence
    if place in _KILLS:
        holder = stack.holder_of(job)
        runner = wait_for(lambda: _runner_of(holder), seconds=20, what="the runner")
        pid = {"parent": holder.pid, "child": child_of(holder).pid, "runner": runner.pid}[place]
        os.kill(pid, signal.SIGKILL)
        if place == "parent":
            holder.wait()
            stack.start_worker()
    else:
        # At the start of a place's first act, or of a later one where it has several.
        request = stack.folder / place
        request.write_text(str(dice.randrange(_WRITES)))
        wait_for(lambda: not request.exists(), seconds=30, what=f"death at {place}")

    def is_over() -> bool:
        job.refresh_from_db()
        return job.fence != fence

    wait_for(is_over, seconds=30, what=f"end of the attempt that died at {place}")


def _runner_of(holder: subprocess.Popen[bytes]) -> psutil.Process | None:
    with suppress(LookupError):
        return runner_of(holder)
    return None
