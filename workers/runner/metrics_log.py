"""The figures of a training run as JSON lines, whole across resumes and bounded however long it runs."""

import json
import math
import shutil
from pathlib import Path

from ml.hooks import Progress

FILENAME = "metrics.jsonl"

_SMALLEST_ADVANCE = 1.001
"""A line is written when a run has come 0.1 % further: curves keep their detail, a run of a million steps
stays below some 15,000 lines."""


class MetricsLog:
    """Appends to `metrics.jsonl`; each line stands on its own, so a cut-off file loses its last line at most."""

    def __init__(self, path: Path, *, resume_folder: Path | None = None) -> None:
        """Write to `path`, after the lines that the resumed checkpoint brought along, if any."""
        self.path = path
        self._last_images = 0
        earlier = resume_folder / FILENAME if resume_folder is not None else None
        if earlier is not None and earlier.exists():
            shutil.copy(earlier, path)
            self._last_images = _last_images_seen(path)
        else:
            path.touch()

    def append(self, progress: Progress, *, last: bool = False) -> None:
        """Write a line unless the run has hardly come further since the one before."""
        if progress.images_seen <= self._last_images:
            return
        if not last and progress.images_seen < self._last_images * _SMALLEST_ADVANCE:
            return
        self._last_images = progress.images_seen
        figures = {
            "images_seen": progress.images_seen,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(progress.images_per_second, 1),
            **progress.metrics,
        }
        line = {name: value for name, value in figures.items() if math.isfinite(value)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _last_images_seen(path: Path) -> int:
    lines = path.read_text("utf-8").splitlines()
    return int(json.loads(lines[-1])["images_seen"]) if lines else 0
