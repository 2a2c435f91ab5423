import threading
from pathlib import Path

import pytest

from tests.unit.workers.runner.conftest import Line
from workers.runner.checkpoints import CheckpointHandover
from workers.runner.job import Job
from workers.runner.protocol import CheckpointDone, CheckpointReady, Stop


@pytest.fixture
def state(job: Job) -> Path:
    """A training state as the loop leaves it."""
    folder = job.folder("run/checkpoints/000000064")
    (folder / "state.safetensors").write_bytes(b"weights")
    (folder / "state.json").write_bytes(b"{}")
    return folder


def answer(line: Line, step: int, *, committed: bool) -> None:
    threading.Timer(0.05, line.say, [CheckpointDone(job_id="job-1", step=step, committed=committed)]).start()


def test_what_is_handed_over_survives_the_loops_own_folder(job: Job, line: Line, state: Path) -> None:
    metrics = job.workspace / "metrics.jsonl"
    metrics.write_text("one\n")
    handover = CheckpointHandover(job, extra_files=[metrics, job.workspace / "absent"])
    assert handover.offer(state, 64, stall_ms=1.5)
    heard = line.heard()
    assert isinstance(heard, CheckpointReady)
    assert (heard.step, heard.stall_ms) == (64, 1.5)

    for path in state.iterdir():
        path.unlink()
    metrics.write_text("one\ntwo\n")
    handed_over = job.workspace / heard.folder
    assert {path.name: path.read_bytes() for path in handed_over.iterdir()} == {
        "state.safetensors": b"weights",
        "state.json": b"{}",
        "metrics.jsonl": b"one\n",
    }


def test_no_second_one_while_the_first_is_being_stored(job: Job, line: Line, state: Path) -> None:
    handover = CheckpointHandover(job)
    assert handover.offer(state, 64, stall_ms=0)
    assert not handover.offer(state, 128, stall_ms=0)
    answer(line, 64, committed=False)
    assert job.wait_for_checkpoint(64, timeout_seconds=10) is False
    assert handover.offer(state, 192, stall_ms=0)
    assert [m.step for m in (line.heard(), line.heard()) if isinstance(m, CheckpointReady)] == [64, 192]


@pytest.mark.parametrize("committed", [True, False])
def test_the_last_one_is_waited_for(committed: bool, job: Job, line: Line, state: Path) -> None:
    answer(line, 64, committed=committed)
    assert CheckpointHandover(job).deliver_last(state, 64) is committed


def test_the_last_one_waits_for_the_one_before(job: Job, line: Line, state: Path) -> None:
    handover = CheckpointHandover(job)
    handover.offer(state, 32, stall_ms=0)
    answer(line, 32, committed=True)
    threading.Timer(0.2, line.say, [CheckpointDone(job_id="job-1", step=64, committed=True)]).start()
    assert handover.deliver_last(state, 64)


def test_a_last_state_that_was_just_handed_over_is_not_handed_over_again(
    job: Job, line: Line, state: Path
) -> None:
    """A periodic checkpoint right before the stop is the last state: the loop writes it twice."""
    handover = CheckpointHandover(job)
    handover.offer(state, 64, stall_ms=0)
    answer(line, 64, committed=True)
    assert handover.offer(state, 64, stall_ms=0)
    assert handover.deliver_last(state, 64)
    assert isinstance(line.heard(), CheckpointReady)
    job.event("mark", {})
    assert not isinstance(line.heard(), CheckpointReady)


def test_an_abort_ends_the_wait_for_the_last_one(job: Job, line: Line, state: Path) -> None:
    threading.Timer(0.05, line.say, [Stop(mode="abort")]).start()
    assert not CheckpointHandover(job).deliver_last(state, 64)
