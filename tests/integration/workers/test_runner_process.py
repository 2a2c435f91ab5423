"""A supervisor's end of a runner, with a real one at the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aigc_platform.settings.env import process_environment
from workers.runner.protocol import Ready
from workers.runner_process import RunnerProcess


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[RunnerProcess]:
    started = RunnerProcess(
        "probe",
        threads=1,
        device="cpu",
        scratch=tmp_path,
        environment=process_environment(),
        handler="tests.probe.runner",
    )
    yield started
    started.kill()


def test_a_runner_asked_for_its_stacks_while_it_starts_lives_and_tells_them_later(
    runner: RunnerProcess,
) -> None:
    assert "still starting" in runner.stacks()
    assert isinstance(runner.receive(60), Ready)
    assert "most recent call first" in runner.stacks(timeout_seconds=30)
    assert runner.is_alive()
