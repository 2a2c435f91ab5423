"""One process of training runs on several devices: trains, and writes down what each run ended with.

crew_member.py WORK_FOLDER JSON    with a list of runs: recipe, settings, kimg, out; resume, stop_after, pace_seconds
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

import ml.train
from ml.catalog import parse_config
from ml.data.packed import PackedDataset
from ml.distributed import joined
from ml.hooks import Hooks, Progress, Stop
from ml.training.run import Run
from ml.training.state import TrainingState

SETTINGS: dict[str, object] = {
    "batch_size": 8,
    "latent_size": 8,
    "grid_seconds": 0.0,
    "tick_seconds": 0.1,
    "deterministic": True,
    "kid_kimg": 0.0,
    "holdout": 0.0,
}


def stripes() -> PackedDataset:
    """48 images of 8 px: bright rows or bright columns."""
    images = torch.randint(
        0, 64, (48, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    labels = torch.arange(48) % 2
    images[labels == 0, :, ::2, :] += 180
    images[labels == 1, :, :, ::2] += 180
    return PackedDataset.create(name="stripes", images=images, labels=labels, classes=["rows", "columns"])


class WatchedRun(Run):
    """A run whose state can be looked at when it is over."""

    states: list[TrainingState] = []

    def step(self) -> None:
        super().step()
        self.states[:] = [self.state]


def run(folder: Path, wanted: dict[str, Any], rank: int) -> None:
    """Train as `wanted`, and leave `rank-N.json`: what the players weigh, every loss, and every event."""
    losses: list[float] = []
    events: list[str] = []
    out = folder / wanted["out"]

    def on_progress(progress: Progress) -> None:
        losses.append(progress.metrics["loss_generator"])

    steps_left = iter(range(wanted.get("stop_after", 1000)))

    def should_stop() -> Stop | None:
        time.sleep(wanted.get("pace_seconds", 0.0))
        return Stop.CHECKPOINT if next(steps_left, None) is None else None

    ml.train.Run = WatchedRun  # type: ignore[attr-defined]  # the loop makes one of these instead
    result = ml.train.train(
        stripes(),
        parse_config(wanted["recipe"], {**SETTINGS, **wanted["settings"], "kimg": wanted["kimg"]}),
        recipe=wanted["recipe"],
        out=out,
        hooks=Hooks(
            on_progress=on_progress, on_event=lambda name, _: events.append(name), should_stop=should_stop
        ),
        resume=Path(wanted["resume"]) if "resume" in wanted else None,
        checkpoint_seconds=0.0,
    )
    weights = {
        f"{player}.{name}": float(value.detach().double().abs().sum())
        for player, (module, _) in WatchedRun.states[0].players().items()
        for name, value in module.named_parameters()
    }
    report = {"weights": weights, "losses": losses, "events": events, "images_seen": result.images_seen}
    (out / f"rank-{rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(0) as crew:
        for wanted in json.loads(sys.argv[2]):
            run(Path(sys.argv[1]), wanted, crew.rank)
