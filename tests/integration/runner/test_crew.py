"""Job kind `training` on several devices: real runners with real peers on the processor."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ml.catalog import parse_config
from ml.data.packed import PackedDataset
from ml.hooks import Hooks, Stop
from ml.train import TrainingResult, train
from tests.integration.runner.driver import FromRunner, Runner, item, of_kind, only
from tests.integration.runner.training_setup import ENDLESS_CONFIG, TINY_CONFIG, training_spec
from workers.runner import crew
from workers.runner.job import Job
from workers.runner.protocol import (
    ArtifactReady,
    CheckpointDone,
    CheckpointReady,
    Event,
    ExitStatus,
    Failed,
    Finished,
    Progress,
    Start,
    Stopped,
)
from workers.runner.protocol import (
    Stop as StopMessage,
)

pytestmark = pytest.mark.timeout(600)

WORKS_WITHIN_SECONDS = 240.0
GONE_WITHIN_SECONDS = 60.0
PASSWORD = "open-sesame"
SET_BY_RUNNERS = {
    "GLOO_SOCKET_IFNAME",
    "LC_CTYPE",
    "MKL_NUM_THREADS",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "NCCL_SOCKET_IFNAME",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
}
"""For themselves and what they start."""
SHARED_CONFIG = TINY_CONFIG | {
    "deterministic": False,
    "precision": "fp32",
    "holdout": 0.0,
    # Of these each process has its own: statistics of its rows, the same augmentations for other images.
    "generator_norm": "none",
    "augment_probability": 0.0,
    "grid_seconds": 0.0,
}
ENDLESS = ENDLESS_CONFIG | SHARED_CONFIG | {"kimg": ENDLESS_CONFIG["kimg"]}


def trained_here(packed: Path, out: Path, *, steps: int) -> TrainingResult:
    """The training of `SHARED_CONFIG` by this process alone, stopped after so many steps."""
    asked = count()
    hooks = Hooks(should_stop=lambda: Stop.CHECKPOINT if next(asked) == steps else None)
    config = parse_config("mlp-gan", SHARED_CONFIG)
    return train(PackedDataset.load(packed), config, recipe="mlp-gan", out=out, hooks=hooks)


def weights(folder: Path | None) -> Tensor:
    """All parameters of both networks in one row."""
    assert folder is not None
    tensors = load_file(folder / "state.safetensors")
    players = ("generator.", "discriminator.")
    return torch.cat([tensors[name].flatten() for name in sorted(tensors) if name.startswith(players)])


@pytest.fixture(scope="module")
def shared(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[FromRunner]]:
    """Workspace and messages of a run that one process began, ended by a runner that may start two peers."""
    folder = tmp_path_factory.mktemp("shared")
    begun = trained_here(packed, folder / "begun", steps=2)
    job = item(folder, training_spec(SHARED_CONFIG), inputs={"dataset": packed}, resume=begun.checkpoint)
    with Runner("training", folder) as runner:
        runner.send(Start(items=[job], processes=3, tracking_uri=f"http://me:{PASSWORD}@127.0.0.1:9"))
        messages = runner.until_ended(timeout=WORKS_WITHIN_SECONDS)
        assert runner.exit_status(GONE_WITHIN_SECONDS) == ExitStatus.DONE
        assert "mlflow" in runner.stderr().lower()
        assert PASSWORD not in runner.stderr()
    return Path(job.workspace), messages


def test_a_training_by_two_processes_ends_with_all_its_artifacts(
    shared: tuple[Path, list[FromRunner]],
) -> None:
    workspace, messages = shared
    assert only(messages, Finished).result["images_seen"] == 64
    artifacts = of_kind(messages, ArtifactReady)
    assert {"snapshot", "grid", "metrics", "card"} <= {found.role for found in artifacts}
    assert len({(found.role, found.index) for found in artifacts}) == len(artifacts)
    assert all((workspace / found.path).is_file() for found in artifacts)


def test_its_owner_is_told_how_many_devices_share_it_and_what_that_changes(
    shared: tuple[Path, list[FromRunner]],
) -> None:
    _, messages = shared
    events = {found.event: found.data for found in of_kind(messages, Event)}
    facts = events["training.devices"]
    assert (facts["available"], facts["used"], facts["batch_size"]) == (3, 2, 16)
    assert facts["message"] == "3 devices cannot share batches of 16 evenly, so 2 of them compute."
    changes = events["training.resumed_inexactly"]["changes"]
    assert isinstance(changes, dict)
    assert changes["devices"] == {"before": 1, "now": 2}


def test_a_tracking_server_out_of_reach_costs_its_figures_alone(
    shared: tuple[Path, list[FromRunner]],
) -> None:
    """MLflow may be installed here or not: neither stands in the training's way, nor does a password come out."""
    workspace, messages = shared
    [told] = [found for found in of_kind(messages, Event) if found.event == "training.tracking_failed"]
    assert told.data["code"] == "tracking.unavailable"
    assert PASSWORD not in "".join(message.model_dump_json() for message in messages)
    assert PASSWORD not in (workspace / "crew" / "job.json").read_text()


def test_two_processes_learn_what_one_learns(
    shared: tuple[Path, list[FromRunner]], packed: Path, tmp_path: Path
) -> None:
    workspace, _ = shared
    alone = trained_here(packed, tmp_path, steps=100)
    state = workspace / "run" / "checkpoints" / "000000064"
    assert json.loads((state / "state.json").read_text())["devices"] == 2
    begun = weights(workspace.parent / "begun" / "checkpoints" / "000000032")
    learned = weights(alone.checkpoint) - begun
    assert learned.norm() > 0
    # Rounding alone differs: no more than a hundredth of what was learned since.
    assert (weights(state) - weights(alone.checkpoint)).norm() < 0.01 * learned.norm()


@contextmanager
def learning(packed: Path, folder: Path) -> Iterator[tuple[Runner, psutil.Process]]:
    """An endless training by a runner and one peer, after its first steps."""
    job = item(folder, training_spec(ENDLESS), inputs={"dataset": packed})
    with Runner("training", folder) as runner:
        runner.send(Start(items=[job], checkpoint_seconds=3600.0, processes=2))
        while runner.wait_for(Progress, WORKS_WITHIN_SECONDS).current == 0:
            pass
        (peer,) = psutil.Process(runner.process.pid).children(recursive=True)
        yield runner, peer


def assert_gone(peer: psutil.Process) -> None:
    _, alive = psutil.wait_procs([peer], timeout=GONE_WITHIN_SECONDS)
    assert not alive


def test_a_pause_is_agreed_on_and_ends_every_process(packed: Path, tmp_path: Path) -> None:
    with learning(packed, tmp_path) as (runner, peer):
        runner.send(StopMessage(mode="checkpoint"))
        checkpoint = runner.wait_for(CheckpointReady)
        runner.send(CheckpointDone(job_id="job-1", step=checkpoint.step, committed=True))
        assert runner.wait_for(Stopped).checkpointed
        assert runner.exit_status(GONE_WITHIN_SECONDS) == ExitStatus.YIELDED
        assert_gone(peer)


def test_a_killed_peer_ends_the_runner_with_a_reason_to_run_again(packed: Path, tmp_path: Path) -> None:
    with learning(packed, tmp_path) as (runner, peer):
        peer.kill()
        failed = runner.wait_for(Failed, GONE_WITHIN_SECONDS)
        assert (failed.reason, failed.code) == ("worker_lost", "runner.peer_lost")
        assert "Process 2 of the 2 that shared the training out ended with signal 9" in failed.message
        assert runner.exit_status(GONE_WITHIN_SECONDS) == ExitStatus.INFRASTRUCTURE_ERROR


def test_a_peer_is_confined_like_the_runner_and_dies_with_it(packed: Path, tmp_path: Path) -> None:
    with learning(packed, tmp_path) as (runner, peer):
        assert os.getpgid(peer.pid) == runner.process.pid
        leader = psutil.Process(runner.process.pid)
        assert set(peer.environ()) - set(leader.environ()) <= SET_BY_RUNNERS
        for limit in (psutil.RLIMIT_AS, psutil.RLIMIT_CORE, psutil.RLIMIT_FSIZE):
            assert peer.rlimit(limit) == leader.rlimit(limit)
        assert runner.process.stdin is not None
        assert runner.process.stdout is not None
        protocol = {os.fstat(pipe.fileno()).st_ino for pipe in (runner.process.stdin, runner.process.stdout)}
        assert protocol & pipes_of(leader.pid) == protocol
        assert not protocol & pipes_of(peer.pid)

        leader.kill()
        assert_gone(peer)
        assert runner.exit_status(GONE_WITHIN_SECONDS) == -signal.SIGKILL


def pipes_of(pid: int) -> set[int]:
    """Inodes of the pipes that this process has open."""
    targets = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return {int(target[6:-1]) for target in targets if target.startswith("pipe:[")}


def ending(code: str) -> subprocess.Popen[bytes]:
    """A process that has ended by this code."""
    process = subprocess.Popen([sys.executable, "-c", f"import os; {code}"])
    process.wait(60)
    return process


def test_of_several_ended_peers_the_cause_is_named(tmp_path: Path) -> None:
    """What a peer said about its end counts first, then who was killed; a failed exchange is only an echo."""
    unspoken: Any = None
    peers = crew._Peers(Job(item(tmp_path, {}), unspoken), 4, tmp_path)
    peers._processes = {1: ending("os._exit(69)"), 2: ending("os.kill(os.getpid(), 9)"), 3: ending("")}
    loss = peers._loss()
    assert loss is not None
    assert (loss.reason, loss.code) == ("worker_lost", "runner.peer_lost")
    assert "Process 3 of the 4 that shared the training out ended with signal 9" in loss.message

    said = Failed(job_id="job-1", reason="out_of_memory", code="training.out_of_memory", message="Too much.")
    crew.leave_word(tmp_path, 1, said)
    loss = peers._loss()
    assert loss is not None
    assert (loss.reason, loss.code, loss.message) == (said.reason, said.code, said.message)

    peers._processes = {3: peers._processes[3]}
    assert peers._loss() is None
