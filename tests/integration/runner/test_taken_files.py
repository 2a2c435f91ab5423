"""A named file is the supervisor's: it may upload and remove it at once, however slow the runner is."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Never

import pytest

from tests.integration.runner.driver import item
from tests.integration.runner.training_setup import TINY_CONFIG, training_spec
from workers.runner.channel import Channel
from workers.runner.kinds import load_handler
from workers.runner.protocol import ArtifactReady, Failed, Finished, JobItem, Message, Start


def _nobody_listens(status: int, reason: str) -> Never:
    raise AssertionError(f"the runner would have ended itself: {status}, {reason}")


class TakingChannel(Channel):
    """Takes every file away within the message that names it: the quickest supervisor there can be."""

    def __init__(self, workspace: Path, incoming: int, outgoing: int) -> None:
        super().__init__(incoming, outgoing, end_process=_nobody_listens)
        self.taken: list[str] = []
        self.ends: list[Message] = []
        self._workspace = workspace

    def send(self, message: Message) -> None:
        super().send(message)
        if isinstance(message, ArtifactReady):
            (self._workspace / message.path).unlink()
            self.taken.append(message.role)
        if isinstance(message, Finished | Failed):
            self.ends.append(message)


@pytest.fixture
def descriptors() -> Iterator[tuple[int, int]]:
    incoming, nobody_writes = os.pipe()
    outgoing = os.open(os.devnull, os.O_WRONLY)
    yield incoming, outgoing
    for descriptor in (incoming, nobody_writes, outgoing):
        os.close(descriptor)


@pytest.mark.parametrize("kind", ["dataset_import", "training", "generation", "evaluation"])
def test_no_kind_of_job_needs_a_file_that_it_has_named(
    kind: str, tmp_path: Path, packed: Path, many: Path, snapshot: Path, descriptors: tuple[int, int]
) -> None:
    started = {
        "dataset_import": lambda: item(tmp_path, {"source": {"builtin": "digits"}, "name": "digits"}),
        "training": lambda: item(tmp_path, training_spec(TINY_CONFIG), inputs={"dataset": packed}),
        "generation": lambda: _generation(tmp_path, snapshot),
        "evaluation": lambda: item(tmp_path, {"n": 60}, inputs={"snapshot": snapshot, "dataset": many}),
    }[kind]()
    channel = TakingChannel(Path(started.workspace), *descriptors)
    load_handler(kind).run(Start(items=[started]), channel)
    assert channel.taken
    assert [type(end) for end in channel.ends] == [Finished], channel.ends


def _generation(tmp_path: Path, snapshot: Path) -> JobItem:
    spec = {"model": "pets:3", "kind": "sample", "count": 5, "seed": 7, "format": "png"}
    return item(tmp_path, spec, inputs={"snapshot": snapshot})
