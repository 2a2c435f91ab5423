import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from ml.hooks import Progress
from workers.runner.metrics_log import FILENAME, MetricsLog


def progress(images_seen: int, **metrics: float) -> Progress:
    return Progress(images_seen, 1_000_000_000, 640.0, images_seen / 640, None, metrics)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_report_is_a_line(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / FILENAME)
    log.append(progress(64, loss=0.5, broken=math.nan))
    log.append(progress(128, loss=0.25))
    assert lines(log.path) == [
        {"images_seen": 64, "seconds": 0.1, "images_per_second": 640.0, "loss": 0.5},
        {"images_seen": 128, "seconds": 0.2, "images_per_second": 640.0, "loss": 0.25},
    ]


def test_a_long_run_stays_bounded_and_keeps_its_detail(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / FILENAME)
    for step in range(1, 100_001):
        log.append(progress(step * 640))
    found = [line["images_seen"] for line in lines(log.path)]
    assert 5_000 < len(found) < 10_000
    assert all(after <= before * 1.002 + 640 for before, after in pairwise(found))


def test_a_resumed_run_goes_on_with_the_lines_of_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    earlier = MetricsLog(checkpoint / FILENAME)
    for images_seen in (64, 128, 192):
        earlier.append(progress(images_seen))
    log = MetricsLog(tmp_path / FILENAME, resume_folder=checkpoint)
    for images_seen in (192, 256):
        log.append(progress(images_seen))
    assert [line["images_seen"] for line in lines(log.path)] == [64, 128, 192, 256]
    assert len(lines(earlier.path)) == 3


def test_a_checkpoint_without_figures_starts_a_new_log(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / FILENAME, resume_folder=tmp_path / "nothing")
    assert log.path.read_text() == ""
