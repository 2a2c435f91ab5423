"""Bytes that go and bytes that stay, on the real store; and the checkers that read it all again."""

import hashlib
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from aigc_platform.jobs import sweeping
from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.exceptions import FilesInUseError, InvalidTransitionError
from aigc_platform.jobs.finishing import StoredCheckpoint, StoredFile, commit_checkpoint
from aigc_platform.jobs.invariants import violations
from aigc_platform.jobs.leases import requeue
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job
from aigc_platform.jobs.scrubbing import differences
from aigc_platform.jobs.selectors import artifacts_of, good_checkpoints
from aigc_platform.jobs.services import request_deletion
from aigc_platform.jobs.states import StatusReason
from aigc_platform.storage import keys
from aigc_platform.storage.interface import ObjectStore
from aigc_platform.storage.object_store import get_object_store
from tests.factories.jobs import TOY, claim_new, claim_one, complete
from tests.services import Services

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(services: Services) -> ObjectStore:
    found = get_object_store()
    found.ensure_bucket()
    return found


def _upload(store: ObjectStore, claim: Claim, index: int = 0) -> StoredFile:
    data = f"{claim.job.pk}/{claim.fence}/{index}".encode()
    sha256 = hashlib.sha256(data).hexdigest()
    key = keys.artifact_key(claim.job.pk, claim.fence, "data", index, sha256, "bin")
    store.put_bytes(key, data, media_type="application/octet-stream")
    return StoredFile("data", index, key, sha256, len(data), "application/octet-stream", f"{index}.bin")


def _checkpoint(store: ObjectStore, claim: Claim, step: int, *, is_best: bool = False) -> Checkpoint:
    # The same bytes in every checkpoint: deleting one must not take them from another.
    data = b"state"
    sha256 = hashlib.sha256(data).hexdigest()
    key = keys.checkpoint_key(claim.job.pk, claim.fence, step, sha256, "state.bin")
    store.put_bytes(key, data, media_type="application/octet-stream")
    files = {"state.bin": {"key": key, "sha256": sha256, "size": len(data)}}
    stored = StoredCheckpoint(step, files, sha256, len(data), is_best, 1.0)
    return commit_checkpoint(claim.job, claim.fence, stored, actor=claim.actor)


def _stored(store: ObjectStore, job: Job) -> set[str]:
    prefixes = (keys.job_prefix(job.pk), keys.checkpoint_prefix(job.pk))
    return {info.key for prefix in prefixes for info in store.list_keys(prefix)}


def test_the_last_two_checkpoints_and_the_best_stay(store: ObjectStore) -> None:
    claim = claim_new()
    made = [_checkpoint(store, claim, step, is_best=step in {10, 20}) for step in (10, 20, 30, 40, 50)]
    assert sweeping.prune_checkpoints(store) == 2
    assert [checkpoint.step for checkpoint in good_checkpoints(claim.job)] == [50, 40, 20]
    assert _stored(store, claim.job) == {key for row in made[1:2] + made[3:] for key in row.object_keys()}
    assert Checkpoint.objects.filter(deleted_at__isnull=False).count() == 2
    assert sweeping.prune_checkpoints(store) == 0


def test_one_sweep_prunes_more_than_a_batch(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 2)
    claim = claim_new()
    for step in range(1, 8):
        _checkpoint(store, claim, step)
    assert sweeping.prune_checkpoints(store) == 5


def test_what_a_sweep_takes_while_a_scrub_reads_is_not_reported(store: ObjectStore) -> None:
    claim = claim_new()
    lost, *pruned = [_checkpoint(store, claim, step) for step in (1, 2, 3, 4)]
    Checkpoint.objects.filter(pk=lost.pk).update(is_best=True)
    store.delete(lost.object_keys()[0])
    found = differences(store)
    assert next(found).problem == "missing"
    assert sweeping.prune_checkpoints(store) == 1
    assert pruned[0].object_keys()[0] not in _stored(store, claim.job)
    assert list(found) == []


def test_a_rotten_checkpoint_does_not_push_out_a_whole_one(store: ObjectStore) -> None:
    claim = claim_new()
    made = [_checkpoint(store, claim, step) for step in (1, 2, 3)]
    Checkpoint.objects.filter(pk=made[2].pk).update(is_corrupt=True)
    assert sweeping.prune_checkpoints(store) == 0


def test_what_lost_attempts_uploaded_goes_after_a_day_and_what_rows_name_stays(
    store: ObjectStore, settings: LazySettings
) -> None:
    first = claim_new()
    loser = _upload(store, first)
    requeue(first.job, 1, actor="x", reason=StatusReason.DRAINED, spends_recovery=False)
    second = claim_one()
    winner = _upload(store, second)
    complete(second, winner)
    assert sweeping.collect_garbage(store) == 0, "it ended a moment ago"
    settings.GARBAGE_SECONDS = -5
    assert sweeping.collect_garbage(store) == 1
    assert _stored(store, first.job) == {winner.key}
    assert loser.key not in _stored(store, first.job)
    assert Job.objects.get().collected_at is not None


def test_a_deleted_job_has_no_bytes_shows_nothing_and_leaves_a_tombstone(store: ObjectStore) -> None:
    claim = claim_new()
    _checkpoint(store, claim, 10)
    job = complete(claim, _upload(store, claim, 0), _upload(store, claim, 1))
    assert len(_stored(store, job)) == 3
    request_deletion(job.pk, actor="user:x")
    assert not artifacts_of(job).exists(), "hidden at once"
    assert sweeping.delete_requested(store) == 1
    assert _stored(store, job) == set()
    job.refresh_from_db()
    assert job.deleted_at is not None
    assert Artifact.objects.filter(job=job).count() == 2, "the rows stay, with their hashes"
    assert request_deletion(job.pk, actor="user:x").deleted_at == job.deleted_at
    assert sweeping.delete_requested(store) == 0


def test_a_job_whose_bytes_stay_keeps_no_other_waiting(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 1)
    locked, other = (complete(claim, _upload(store, claim)) for claim in (claim_new(), claim_new()))
    for job in (locked, other):
        request_deletion(job.pk, actor="user:x")
    really = store.delete_prefix
    # As a bucket does whose objects are under a legal hold.
    monkeypatch.setattr(
        store, "delete_prefix", lambda prefix: 0 if str(locked.pk) in prefix else really(prefix)
    )
    assert sweeping.delete_requested(store) == 1
    assert (len(_stored(store, locked)), _stored(store, other)) == (1, set())
    locked.refresh_from_db()
    assert locked.deleted_at is None
    monkeypatch.undo()
    assert sweeping.delete_requested(store) == 1
    assert _stored(store, locked) == set()


def test_a_running_job_and_one_whose_files_are_needed_are_not_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = claim_new()
    with pytest.raises(InvalidTransitionError):
        request_deletion(claim.job.pk, actor="user:x")
    complete(claim)
    monkeypatch.setattr(TOY, "in_use", lambda _job: "The model x is made of them.")
    with pytest.raises(FilesInUseError, match="model x"):
        request_deletion(claim.job.pk, actor="user:x")
    assert Job.objects.get().deletion_requested_at is None


def test_scrub_finds_what_is_missing_and_what_is_other(
    store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = claim_new()
    files = [_upload(store, claim, index) for index in range(3)]
    complete(claim, *files)
    call_command("scrub")
    store.delete(files[0].key)
    store.delete(files[1].key)
    store.put_bytes(files[1].key, b"something else", media_type="application/octet-stream")
    with pytest.raises(CommandError, match="2 stored objects"):
        call_command("scrub")
    printed = capsys.readouterr().out
    assert f"{files[0].key}: missing" in printed
    assert files[1].key in printed
    assert files[2].key not in printed


def _sound_job(store: ObjectStore) -> Job:
    claim = claim_new()
    _checkpoint(store, claim, 10)
    requeue(claim.job, 1, actor="x", reason=StatusReason.DRAINED, spends_recovery=False)
    again = claim_one()
    Attempt.objects.filter(pk=again.attempt.pk).update(resumed_from=Checkpoint.objects.get())
    return complete(again, _upload(store, again, 0), _upload(store, again, 1))


def _invariants_broken(store: ObjectStore, *, settled: bool = True) -> set[str]:
    return {violation.invariant for violation in violations(store, settled=settled)}


def test_a_sound_history_breaks_no_invariant(store: ObjectStore) -> None:
    _sound_job(store)
    assert _invariants_broken(store) == set()
    call_command("check_invariants", "--settled")


def _raw(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql)


_PLANTED = {
    "I2 gap": ("I2", 'UPDATE jobs_artifact SET "index" = 7 WHERE "index" = 1'),
    "I2 two attempts": ("I2", 'UPDATE jobs_artifact SET fence = 1 WHERE "index" = 1'),
    "I2 hash": ("I2", "UPDATE jobs_artifact SET sha256 = repeat('0', 64)"),
    "I3 stranger": ("I3", "UPDATE jobs_checkpoint SET fence = 99"),
    "I3 open": ("I3", "UPDATE jobs_attempt SET ended_at = NULL, outcome = '' WHERE number = 2"),
    "I4 gap": ("I4", "UPDATE jobs_job SET event_seq = event_seq + 1"),
    "I4 after the end": (
        "I4",
        (
            "INSERT INTO jobs_jobevent (job_id, seq, at, actor, type, data) "
            "SELECT id, event_seq + 1, now(), 'x', 'toy.late', '{}' FROM jobs_job"
        ),
    ),
}


@pytest.mark.parametrize("name", _PLANTED)
def test_a_planted_violation_is_found(store: ObjectStore, name: str) -> None:
    _sound_job(store)
    invariant, sql = _PLANTED[name]
    _raw(sql)
    assert invariant in _invariants_broken(store)
    with pytest.raises(CommandError, match="violations"):
        call_command("check_invariants", "--settled")


def test_resuming_from_an_older_checkpoint_than_the_newest_is_found(store: ObjectStore) -> None:
    claim = claim_new()
    old = _checkpoint(store, claim, 10)
    _checkpoint(store, claim, 20)
    requeue(claim.job, 1, actor="x", reason=StatusReason.DRAINED, spends_recovery=False)
    again = claim_one()
    Attempt.objects.filter(pk=again.attempt.pk).update(resumed_from=old)
    assert _invariants_broken(store, settled=False) == {"I6"}


def test_an_unfinished_job_is_a_violation_only_once_all_should_be_settled(store: ObjectStore) -> None:
    claim_new()
    assert _invariants_broken(store, settled=False) == set()
    assert _invariants_broken(store) == {"I1"}


def test_results_of_a_job_that_did_not_succeed_are_found(store: ObjectStore) -> None:
    claim = claim_new()
    file = _upload(store, claim)
    fields = {name: getattr(file, name) for name in ("role", "index", "key", "sha256", "size", "filename")}
    Artifact.objects.create(job=claim.job, fence=1, media_type=file.media_type, **fields)
    assert _invariants_broken(store, settled=False) == {"I5"}


def test_an_object_that_no_row_names_in_a_collected_job_is_found(store: ObjectStore) -> None:
    job = _sound_job(store)
    stray = keys.artifact_key(job.pk, 1, "data", 5, "0" * 64, "bin")
    store.put_bytes(stray, b"x", media_type="application/octet-stream")
    assert _invariants_broken(store) == set(), "it may still be collected"
    Job.objects.update(collected_at=Now() - timedelta(hours=1))
    assert _invariants_broken(store) == {"I8"}


def test_uploads_in_parts_that_never_ended_are_given_up(store: ObjectStore) -> None:
    key = keys.artifact_key(uuid4(), 1, "data", 0, "0" * 64, "bin")
    client = store._client  # type: ignore[attr-defined]  # no public way to begin an upload and leave it
    client.create_multipart_upload(Bucket=store._bucket, Key=key)  # type: ignore[attr-defined]  # as above
    assert store.abort_stale_uploads(timedelta(hours=1)) == 0
    assert store.abort_stale_uploads(timedelta(seconds=-5)) >= 1
    assert store.abort_stale_uploads(timedelta(seconds=-5)) == 0
