"""Memory that runs out: what each kind of the studio makes of it, from the claim to what the runner is told."""

from pathlib import Path

import pytest

from aigc_platform.accounts.models import User
from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.recovery import recover_from_out_of_memory
from aigc_platform.jobs.states import StatusReason
from aigc_platform.storage.object_store import get_object_store
from tests.factories.finished import published_model, queued_generation, queued_training, start
from workers.preparing import prepare
from workers.runner.protocol import JobItem
from workers.workspace import InputCache, Workspace

pytestmark = pytest.mark.django_db

_ERROR = {"code": "training.out_of_memory", "message": "Lower batch_size.", "errors": []}


def _prepared(claim: Claim, folder: Path) -> JobItem:
    workspace = Workspace(folder, claim.job.pk, claim.fence)
    return prepare(claim, workspace, InputCache(folder, get_object_store()))


def _run_out(claim: Claim) -> Job:
    return recover_from_out_of_memory(claim.job, claim.fence, actor=claim.actor, error=_ERROR, was_alone=True)


def test_a_generation_is_tried_once_more_with_less_in_memory_and_its_spec_stays(
    user: User, tmp_path: Path
) -> None:
    published_model(user, "m")
    first = start(queued_generation(user, "m"))
    usual = _prepared(first, tmp_path).spec
    assert usual["lean"] is False

    queued = _run_out(first)

    assert (queued.status, queued.status_reason, queued.group_key) == ("queued", "out_of_memory", "")
    second = start(Job.objects.get(pk=queued.pk))
    again = _prepared(second, tmp_path)
    assert again.spec["lean"] is True
    assert {**again.spec, "lean": False} == usual
    assert "lean" not in Job.objects.get(pk=queued.pk).spec
    failed = _run_out(second)
    assert (failed.status, failed.status_reason) == ("failed", StatusReason.OUT_OF_MEMORY)


def test_a_training_fails_with_advice_for_a_smaller_batch_would_train_another_model(user: User) -> None:
    failed = _run_out(start(queued_training(user)))
    assert (failed.status, failed.status_reason, failed.error) == ("failed", "out_of_memory", _ERROR)
    assert failed.attempts.count() == 1
