"""Runners and their peers that outlived their supervisor."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workers.leftovers import kill_leftover_runners

NOBODY = 2**30
"""More than any process number."""


@contextmanager
def sleeper(module: str, *, parent: int, home: Path, group: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a runner; leads a group of its own, or joins one."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", module, "--parent-pid", str(parent)],
        env={"HOME": str(home)},
        process_group=group,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("module", ["workers.runner", "workers.runner.peer"])
def test_one_whose_supervisor_is_gone_is_killed(module: str, tmp_path: Path) -> None:
    with sleeper(module, parent=NOBODY, home=tmp_path / "attempt") as left:
        assert kill_leftover_runners(tmp_path) == 1
        assert left.wait(10) == -9


def test_a_peer_takes_its_group_with_it(tmp_path: Path) -> None:
    with (
        sleeper("workers.runner", parent=os.getpid(), home=tmp_path / "attempt") as first,
        sleeper("workers.runner.peer", parent=NOBODY, home=tmp_path / "attempt", group=first.pid) as peer,
    ):
        assert kill_leftover_runners(tmp_path) == 1
        assert (first.wait(10), peer.wait(10)) == (-9, -9)


@pytest.mark.parametrize(
    "reason", ["its supervisor lives", "it is another installation's", "it is no runner"]
)
def test_others_are_left_alone(reason: str, tmp_path: Path) -> None:
    module = "workers.walker" if reason == "it is no runner" else "workers.runner"
    parent = os.getpid() if reason == "its supervisor lives" else NOBODY
    home = Path("/elsewhere") if reason == "it is another installation's" else tmp_path / "attempt"
    with sleeper(module, parent=parent, home=home) as process:
        assert kill_leftover_runners(tmp_path) == 0
        assert process.poll() is None
