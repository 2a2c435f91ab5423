"""Training on several devices: two processes learn one and the same thing, and go on after one was killed.

Processes, gloo and files are real; the networks are tiny.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ml.catalog import parse_config
from ml.checkpoint import weights_sha256
from ml.distributed import Crew, largest_crew
from ml.errors import MlError
from ml.hooks import Hooks
from ml.train import train
from tests.unit.ml import crew_member

ROOT = Path(__file__).parents[3]
MEMBER = Path(__file__).with_name("crew_member.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
GAN: dict[str, Any] = {
    "recipe": "dcgan",
    "kimg": 0.12,
    "settings": {"generator_channels": 4, "discriminator_channels": 4},
}
VAE: dict[str, Any] = {
    "recipe": "vae",
    "kimg": 0.8,
    "settings": {
        "network": "mlp",
        "generator_widths": [32],
        "encoder_widths": [32],
        "generator_norm": "none",
        "encoder_norm": "none",
    },
}


def test_a_crew_shares_rows_out_without_overlap() -> None:
    rows = torch.arange(12).reshape(6, 2)
    assert torch.equal(torch.cat([Crew(rank, 3).share(rows) for rank in range(3)]), rows)
    assert torch.equal(Crew().share(rows), rows)


def test_noise_of_all_processes_together_is_that_of_one() -> None:
    parts = [Crew(rank, 2).normal(3, 4, torch.Generator().manual_seed(5)) for rank in range(2)]
    assert torch.equal(torch.cat(parts), Crew().normal(6, 4, torch.Generator().manual_seed(5)))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    Crew(0, 2).check_batch(64)
    with pytest.raises(MlError, match="multiple of 3"):
        Crew(0, 3).check_batch(64)


@pytest.mark.parametrize(
    ("batch_size", "most", "size"),
    [(64, 1, 1), (64, 2, 2), (64, 3, 2), (15, 4, 3), (7, 4, 1), (4, 4, 2), (48, 16, 16), (2, 2, 1)],
)
def test_the_largest_crew_shares_the_batch_evenly(batch_size: int, most: int, size: int) -> None:
    """And leaves each process two images at least, of which batch norm can take statistics."""
    assert largest_crew(batch_size, most) == size
    Crew(0, size).check_batch(batch_size)


def member(folder: Path, runs: list[dict[str, Any]], launcher: list[str], **variables: str) -> Popen[str]:
    """Start `crew_member.py` by a launcher."""
    for wanted in runs:
        (folder / wanted["out"]).mkdir(exist_ok=True)
    return Popen(
        [*launcher, str(MEMBER), str(folder), json.dumps(runs)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables},
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )


def pair(folder: Path, runs: list[dict[str, Any]]) -> list[Popen[str]]:
    """Start two processes as torchrun would, without the time that torchrun itself takes to start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [member(folder, runs, [sys.executable], RANK=str(rank), **common) for rank in range(2)]


def reports(folder: Path, out: str) -> list[dict[str, Any]]:
    return [json.loads((folder / out / f"rank-{rank}.json").read_text()) for rank in range(2)]


def end_all(processes: list[Popen[str]]) -> list[str]:
    """Wait for them to end; what they printed."""
    return [process.communicate(timeout=240)[0] for process in processes]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs by torchrun: a GAN `whole`, stopped after a `part` and `resumed`; and a `vae`."""
    folder = tmp_path_factory.mktemp("crew")
    stopped = str(folder / "part" / "checkpoints" / "000000056")
    runs = [
        GAN | {"out": "whole"},
        GAN | {"out": "part", "stop_after": 7},
        GAN | {"out": "resumed", "resume": stopped},
        VAE | {"out": "vae"},
    ]
    process = member(folder, runs, TORCHRUN)
    (output,) = end_all([process])
    assert process.returncode == 0, output
    return folder


@pytest.mark.timeout(300)
def test_processes_hold_the_same_weights(finished: Path) -> None:
    first, second = reports(finished, "whole")
    assert first["weights"] == second["weights"]
    assert first["images_seen"] == second["images_seen"] == 120
    assert "finished" in first["events"]
    assert second["events"] == []  # the first process alone speaks


@pytest.mark.timeout(300)
def test_two_processes_learn_what_one_learns(finished: Path, tmp_path: Path) -> None:
    """Without batch norm only rounding differs, so weights agree closely; and the loss falls."""
    losses = reports(finished, "vae")[0]["losses"]
    assert losses[-1] < 0.7 * losses[0]
    config = parse_config("vae", {**crew_member.SETTINGS, **VAE["settings"], "kimg": VAE["kimg"]})
    result = train(crew_member.stripes(), config, recipe="vae", out=tmp_path)
    assert weights_of(result.checkpoint) == pytest.approx(reports(finished, "vae")[0]["weights"], rel=1e-3)


@pytest.mark.timeout(300)
def test_resuming_on_as_many_processes_is_exact(finished: Path) -> None:
    first, second = reports(finished, "resumed")
    assert first["weights"] == second["weights"] == reports(finished, "whole")[0]["weights"]
    last = "checkpoints/000000120"
    assert weights_sha256(finished / "resumed" / last) == weights_sha256(finished / "whole" / last)
    assert "resumed" in first["events"]
    assert "resumed_inexactly" not in first["events"]


@pytest.mark.timeout(300)
def test_another_number_of_processes_goes_on_and_says_what_is_no_longer_exact(
    finished: Path, tmp_path: Path
) -> None:
    told = go_on_alone(finished / "part" / "checkpoints" / "000000056", tmp_path)
    assert told["resumed_inexactly"]["changes"]["devices"] == {"before": 2, "now": 1}
    assert told["finished"]["images_seen"] == 120


def go_on_alone(checkpoint: Path, out: Path) -> dict[str, Any]:
    """Resume a state of two processes in this one; every event by its name."""
    told: dict[str, Any] = {}
    config = parse_config("dcgan", {**crew_member.SETTINGS, **GAN["settings"], "kimg": GAN["kimg"]})
    hooks = Hooks(on_event=lambda name, data: told.update({name: data}))
    train(crew_member.stripes(), config, recipe="dcgan", out=out, hooks=hooks, resume=checkpoint)
    return told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_when_one_process_is_killed_all_end_and_the_newest_state_is_whole(tmp_path: Path) -> None:
    crew = pair(tmp_path, [GAN | {"out": "killed", "pace_seconds": 0.5}])
    checkpoints = tmp_path / "killed" / "checkpoints"
    while not list(checkpoints.glob("0000000[2-9]*/state.json")):
        assert crew[0].poll() is None, crew[0].communicate()[0]
        time.sleep(0.2)
    crew[1].kill()
    for process in crew:
        process.communicate(timeout=400)
    assert crew[0].returncode != 0
    newest = max(folder for folder in checkpoints.glob("[0-9]*") if (folder / "state.json").exists())
    assert int(newest.name) < 120
    assert go_on_alone(newest, tmp_path / "alone")["finished"]["images_seen"] == 120


def weights_of(folder: Path | None) -> dict[str, float]:
    """Sum of the absolute values of every parameter of the players, as `crew_member` gives it."""
    assert folder is not None
    tensors = load_file(folder / "state.safetensors")
    players = ("generator.", "encoder.")
    return {
        name: float(value.double().abs().sum()) for name, value in tensors.items() if name.startswith(players)
    }
