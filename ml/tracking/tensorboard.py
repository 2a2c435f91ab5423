"""Curves and sheets for TensorBoard: `tensorboard --logdir run`."""

import json
import time
from pathlib import Path

from PIL import Image

from ml.hooks import Progress, TrainingResult
from ml.tracking.event_file import SUFFIX, EventFile

FOLDER = "tensorboard"
_NOT_CURVES = frozenset({"images_seen", "seconds"})


class TensorBoardTracker:
    """Writes one event file a process into `tensorboard/` of a run's folder; the step is images seen.

    A resumed run begins a file of its own, which TensorBoard joins to the one before.
    """

    def __init__(self, run_folder: Path) -> None:
        self._file = EventFile(run_folder / FOLDER / f"{time.time_ns()}{SUFFIX}")

    def on_progress(self, progress: Progress) -> None:
        figures = {**progress.metrics, "images_per_second": progress.images_per_second}
        self._file.add_scalars(figures, step=progress.images_seen)

    def on_grid(self, path: Path, images_seen: int) -> None:
        with Image.open(path) as picture:
            width, height, mode = picture.width, picture.height, picture.mode
        self._file.add_png(
            "samples", path.read_bytes(), width=width, height=height, mode=mode, step=images_seen
        )

    def close(self, result: TrainingResult | None) -> None:
        del result
        self._file.close()


def convert_metrics(metrics: Path, path: Path, *, ended_at: float) -> None:
    """Write the lines of a `metrics.jsonl` as one event file, over all parts of a resumed run.

    Args:
        metrics: the lines; each with `images_seen` and `seconds`.
        path: of the event file.
        ended_at: when the last line was written, in seconds since 1970; the others are placed before it by
            their training time.
    """
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    began_at = ended_at - (lines[-1]["seconds"] if lines else 0.0)
    with EventFile(path) as file:
        for line in lines:
            figures = {name: value for name, value in line.items() if name not in _NOT_CURVES}
            file.add_scalars(figures, step=line["images_seen"], at=began_at + line["seconds"])
