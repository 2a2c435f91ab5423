import os
import threading
import time

import pytest

from tests.unit.workers.runner.conftest import Line
from workers.runner.protocol import (
    MAX_LINE_BYTES,
    CheckpointDone,
    Event,
    Exit,
    ExitStatus,
    Finished,
    Message,
    Progress,
    Start,
    Stop,
    Stopped,
)


def settle(line: Line) -> None:
    """Wait until the reader has taken everything said so far: a start is the mark."""
    line.start("mark")
    line.channel.send(Stopped(job_id="mark", checkpointed=False))
    line.heard()


def test_a_stop_reaches_the_job_it_names(line: Line) -> None:
    line.start("a", "b")
    line.say(Stop(mode="checkpoint", job_id="a"))
    settle(line)
    assert line.channel.stop_mode("a") == "checkpoint"
    assert line.channel.stop_mode("b") is None


def test_a_stop_without_a_name_reaches_all_that_run_and_none_that_follow(line: Line) -> None:
    line.start("a", "b")
    line.say(Stop(mode="abort"))
    settle(line)
    line.start("c")
    assert [line.channel.stop_mode(job) for job in "abc"] == ["abort", "abort", None]


def test_abort_outranks_checkpoint_and_not_the_other_way_round(line: Line) -> None:
    line.start("a")
    line.say(Stop(mode="checkpoint", job_id="a"))
    line.say(Stop(mode="abort", job_id="a"))
    line.say(Stop(mode="checkpoint", job_id="a"))
    settle(line)
    assert line.channel.stop_mode("a") == "abort"


def test_a_stop_for_a_job_that_ended_does_not_stop_its_next_attempt(line: Line) -> None:
    line.start("a")
    line.channel.send(Finished(job_id="a"))
    line.say(Stop(mode="abort", job_id="a"))
    line.start("a")
    assert line.channel.stop_mode("a") is None
    assert line.channel.active_jobs() == ["a"]


def test_messages_of_many_threads_do_not_mix(line: Line) -> None:
    """Longer than a pipe takes in one piece, so a writer without a lock would be interrupted."""
    long = "x" * 100_000

    def send(name: str) -> None:
        for step in range(10):
            line.channel.send(Event(job_id=name, event="e", data={"step": step, "long": long}))

    threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    heard = [line.heard() for _ in range(40)]
    for thread in threads:
        thread.join()
    for name in "abcd":
        steps = [m.data["step"] for m in heard if isinstance(m, Event) and m.job_id == name]
        assert steps == list(range(10))


def test_a_message_beyond_the_protocols_limit_is_refused_here(line: Line) -> None:
    with pytest.raises(ValueError, match="Event message"):
        line.channel.send(Event(job_id="a", event="e", data={"long": "x" * MAX_LINE_BYTES}))


@pytest.mark.parametrize("committed", [True, False])
def test_waiting_for_a_checkpoint_tells_what_became_of_it(committed: bool, line: Line) -> None:
    line.start("a")
    assert line.channel.wait_for_checkpoint("a", 64, timeout_seconds=0) is None
    threading.Timer(0.05, line.say, [CheckpointDone(job_id="a", step=64, committed=committed)]).start()
    assert line.channel.wait_for_checkpoint("a", 64, timeout_seconds=10) is committed
    assert line.channel.wait_for_checkpoint("a", 128, timeout_seconds=0) is None


def test_an_abort_ends_the_wait_for_a_checkpoint(line: Line) -> None:
    line.start("a")
    threading.Timer(0.05, line.say, [Stop(mode="abort", job_id="a")]).start()
    began = time.monotonic()
    assert line.channel.wait_for_checkpoint("a", 64, timeout_seconds=10) is None
    assert time.monotonic() - began < 5


def test_exit_means_no_more_work(line: Line) -> None:
    line.say(Exit())
    assert line.channel.next_start() is None


def close(line: Line) -> tuple[int, str]:
    os.close(line.to_channel)
    line.to_channel = -1
    end = line.ends.get(timeout=10)
    line.ends.put(end)
    return end


def test_the_end_of_the_input_ends_the_process(line: Line) -> None:
    line.start("a")
    status, why = close(line)
    assert status == ExitStatus.INFRASTRUCTURE_ERROR
    assert "supervisor is gone" in why


def test_the_end_of_the_input_lets_a_runner_wrap_up_whose_jobs_have_ended(line: Line) -> None:
    line.start("a")
    line.channel.send(Finished(job_id="a"))
    os.close(line.to_channel)
    line.to_channel = -1
    assert line.channel.next_start() is None
    assert line.ends.empty()


@pytest.mark.parametrize("said", [b"{}\n", b"null\n", b'{"type":"stop","mode":"gently"}\n'])
def test_nonsense_ends_the_process(said: bytes, line: Line) -> None:
    os.write(line.to_channel, said)
    status, why = line.ends.get(timeout=10)
    line.ends.put((status, why))
    assert status == ExitStatus.INFRASTRUCTURE_ERROR
    assert "not a message" in why


def test_messages_arrive_as_they_were_sent(line: Line) -> None:
    messages: list[Message] = [
        Progress(job_id="a", current=1, total=None, unit="images", metrics={"loss": 0.5}),
        Finished(job_id="a", result={"classes": ["Ä", "\n"]}),
    ]
    for message in messages:
        line.channel.send(message)
    assert [line.heard() for _ in messages] == messages


def test_another_protocol_is_refused(line: Line) -> None:
    line.say(Start(protocol=99, items=[]))
    status, why = line.ends.get(timeout=10)
    assert status == ExitStatus.INFRASTRUCTURE_ERROR
    assert "protocol 99" in why
