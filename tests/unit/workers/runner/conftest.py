import os
import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workers.runner.channel import Channel
from workers.runner.job import Job
from workers.runner.protocol import JobItem, Message, Start, encode, from_runner


@dataclass
class Line:
    """Both ends of a channel over real pipes; the process it would end is this one, so ends are noted."""

    channel: Channel
    to_channel: int
    from_channel: int
    ends: "queue.SimpleQueue[tuple[int, str]]" = field(default_factory=queue.SimpleQueue)
    _buffer: bytes = b""

    def say(self, message: Message) -> None:
        os.write(self.to_channel, encode(message))

    def heard(self) -> Message:
        """The next message the channel wrote."""
        while b"\n" not in self._buffer:
            self._buffer += os.read(self.from_channel, 65536)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return from_runner.validate_json(line)

    def start(self, *job_ids: str, workspace: str = "/nowhere") -> Start:
        """Start jobs and wait until the channel has taken notice."""
        self.say(Start(items=[job_item(job_id, workspace) for job_id in job_ids]))
        started = self.channel.next_start()
        assert started is not None
        return started


def job_item(job_id: str, workspace: str) -> JobItem:
    return JobItem(job_id=job_id, attempt=1, workspace=workspace, spec={}, inputs={})


@pytest.fixture
def line() -> Iterator[Line]:
    channel_reads, test_writes = os.pipe()
    test_reads, channel_writes = os.pipe()
    ends: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    channel = Channel(
        channel_reads,
        channel_writes,
        end_process=lambda status, why: ends.put((status, why)),
        wrap_up_seconds=0.2,
    )
    channel.listen()
    open_line = Line(channel, test_writes, test_reads, ends)
    yield open_line
    if open_line.to_channel >= 0:
        os.close(open_line.to_channel)
    ends.get(timeout=10)  # the reader has seen the end and closed its descriptor
    os.close(test_reads)
    os.close(channel_writes)


@pytest.fixture
def job(line: Line, tmp_path: Path) -> Job:
    """A started job with a workspace."""
    (item,) = line.start("job-1", workspace=str(tmp_path)).items
    return Job(item, line.channel)
