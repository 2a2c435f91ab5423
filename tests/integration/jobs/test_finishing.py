"""Publishing: one attempt's results, all at once, and nothing after a cancel."""

import pytest
from django.db import IntegrityError

from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.exceptions import InvalidTransitionError, LeaseLostError
from aigc_platform.jobs.finishing import commit_checkpoint, publish_preview
from aigc_platform.jobs.leases import requeue
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job, JobEvent
from aigc_platform.jobs.selectors import artifacts_of, good_checkpoints
from aigc_platform.jobs.services import request_cancel, request_pause
from aigc_platform.jobs.states import JobStatus, StatusReason
from tests.factories.jobs import (
    claim_new,
    claim_one,
    complete,
    report_finalizing,
    report_running,
    stored_checkpoint,
    stored_file,
)
from tests.integration.jobs.concurrency import at_once

pytestmark = pytest.mark.django_db


def _take_over(claim: Claim) -> Claim:
    requeue(claim.job, claim.fence, actor="engine", reason=StatusReason.WORKER_LOST, spends_recovery=True)
    return claim_one()


def test_success_shows_the_files_the_output_and_the_end_in_one_step() -> None:
    claim = claim_new()
    report_running(claim)
    report_finalizing(claim)
    job = complete(claim, stored_file(claim, 1), stored_file(claim, 0))

    assert (job.status, job.fence, job.lease_worker_id) == (JobStatus.SUCCEEDED, 2, None)
    assert job.output == {"steps": 1, "files": ["image-0.png", "image-1.png"]}
    assert job.finished_at is not None
    assert [(artifact.index, artifact.fence) for artifact in artifacts_of(job)] == [(0, 1), (1, 1)]
    assert Attempt.objects.get().outcome == "succeeded"
    assert JobEvent.objects.latest("seq").data["artifacts"] == 2


def test_results_can_be_published_while_a_pause_is_under_way() -> None:
    claim = claim_new()
    request_pause(claim.job.pk, actor="user:x")
    assert complete(claim, stored_file(claim)).status == JobStatus.SUCCEEDED


def test_after_a_cancel_nothing_is_published() -> None:
    claim = claim_new()
    report_running(claim)
    request_cancel(claim.job.pk, actor="user:x")
    with pytest.raises(InvalidTransitionError, match="canceling"):
        complete(claim, stored_file(claim))
    assert not Artifact.objects.exists()
    assert (Job.objects.get().status, Attempt.objects.get().outcome) == (JobStatus.CANCELING, "")


def test_the_second_holder_publishes_and_the_first_cannot() -> None:
    first = claim_new()
    second = _take_over(first)
    with pytest.raises(LeaseLostError):
        complete(first, stored_file(first))
    complete(second, stored_file(second))
    with pytest.raises(LeaseLostError):
        complete(first, stored_file(first))
    assert list(Artifact.objects.values_list("fence", flat=True)) == [second.fence]


def test_a_kind_that_refuses_the_result_leaves_everything_as_it_was() -> None:
    claim = claim_new()
    with pytest.raises(RuntimeError, match="refuses"):
        complete(claim, stored_file(claim), result={"refuse": True})
    assert not Artifact.objects.exists()
    assert (Job.objects.get().status, Attempt.objects.get().outcome) == (JobStatus.STARTING, "")


def test_two_files_of_one_role_and_index_are_refused_with_the_whole_result() -> None:
    claim = claim_new()
    file = stored_file(claim)
    with pytest.raises(IntegrityError):
        complete(claim, file, file)
    assert not Artifact.objects.exists()
    assert Job.objects.get().status == JobStatus.STARTING


@pytest.mark.django_db(transaction=True)
def test_finishing_twice_at_once_publishes_once() -> None:
    claim = claim_new()
    results = at_once([lambda: complete(claim, stored_file(claim))] * 8)
    assert sorted(type(result).__name__ for result in results) == ["Job"] + ["LeaseLostError"] * 7
    assert Artifact.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_finish_and_cancel_at_once_one_of_them_wins_whole() -> None:
    outcomes = set()
    for _ in range(25):
        claim = claim_new()
        finished, canceled = at_once(
            [
                lambda claim=claim: complete(claim, stored_file(claim)),  # type: ignore[misc]  # mypy cannot type defaults
                lambda claim=claim: request_cancel(claim.job.pk, actor="user:x"),  # type: ignore[misc]  # as above
            ]
        )
        job = Job.objects.get(pk=claim.job.pk)
        published = Artifact.objects.filter(job=job).count()
        outcomes.add(job.status)
        assert isinstance(canceled, Job)
        assert (job.status, published, type(finished).__name__) in {
            ("succeeded", 1, "Job"),
            ("canceling", 0, "InvalidTransitionError"),
        }
    assert outcomes <= {"succeeded", "canceling"}


def test_a_preview_is_visible_at_once_and_the_first_attempt_keeps_its_index() -> None:
    first = claim_new()
    report_running(first)
    publish_preview(first.job, first.fence, stored_file(first, 0, role="grid"), actor=first.actor)
    second = _take_over(first)
    for index in (0, 1):
        publish_preview(second.job, second.fence, stored_file(second, index, role="grid"), actor="x")

    previews = artifacts_of(first.job)
    assert [(preview.index, preview.fence) for preview in previews] == [(0, 1), (1, second.fence)]
    assert all(preview.is_preview for preview in previews)
    assert JobEvent.objects.filter(type="toy.sample.created").count() == 2


def test_previews_stay_beside_the_results() -> None:
    claim = claim_new()
    publish_preview(claim.job, claim.fence, stored_file(claim, role="grid"), actor=claim.actor)
    complete(claim, stored_file(claim))
    assert [(file.role, file.is_preview) for file in artifacts_of(claim.job)] == [
        ("grid", True),
        ("image", False),
    ]


def test_the_newest_checkpoint_is_the_one_to_resume_from_over_attempts() -> None:
    first = claim_new()
    for step in (100, 200):
        commit_checkpoint(first.job, first.fence, stored_checkpoint(first, step), actor=first.actor)
    second = _take_over(first)
    commit_checkpoint(second.job, second.fence, stored_checkpoint(second, 150), actor=second.actor)
    corrupt = commit_checkpoint(second.job, second.fence, stored_checkpoint(second, 300), actor="x")
    Checkpoint.objects.filter(pk=corrupt.pk).update(is_corrupt=True)

    found = [(checkpoint.fence, checkpoint.step) for checkpoint in good_checkpoints(first.job)]
    assert found == [(second.fence, 150), (first.fence, 200), (first.fence, 100)]
    assert JobEvent.objects.filter(type="toy.checkpoint.created").count() == 4


def test_committing_a_checkpoint_again_after_an_answer_was_lost_changes_nothing() -> None:
    claim = claim_new()
    first = commit_checkpoint(claim.job, claim.fence, stored_checkpoint(claim, 100), actor=claim.actor)
    again = commit_checkpoint(claim.job, claim.fence, stored_checkpoint(claim, 100), actor=claim.actor)
    assert again == first
    assert JobEvent.objects.filter(type="toy.checkpoint.created").count() == 1
