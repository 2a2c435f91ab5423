"""Curves read back from a metrics file: resumes, broken lines, grouping, thinning."""

import json
from pathlib import Path

from ml.card.history import charts_of, read_history, summarise


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def test_what_a_resumed_run_did_over_is_dropped(tmp_path: Path) -> None:
    path = write(
        tmp_path / "metrics.jsonl",
        *({"images_seen": seen, "loss_generator": seen / 1000} for seen in (1000, 2000, 3000)),
        *({"images_seen": seen, "loss_generator": -1.0} for seen in (2000, 4000)),
    )
    assert read_history(path) == {"loss_generator": [(1.0, 1.0), (2.0, -1.0), (4.0, -1.0)]}


def test_lines_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "metrics.jsonl",
        '{"images_seen": 1000, "loss_gen',
        "[1]",
        {"loss_generator": 1.0},
        {"images_seen": 8, "seconds": 1.0, "images_per_second": 9.0, "kid": 0.5, "note": "x", "ok": True},
    )
    assert read_history(path) == {"kid": [(0.008, 0.5)]}
    assert read_history(tmp_path / "nowhere") == {}


def test_figures_of_one_kind_share_a_chart_and_the_first_four_kinds_are_drawn() -> None:
    points = [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)]
    names = ("loss_generator", "loss_discriminator", "kid", "gradient_norm_generator", "real_logits", "zebra")
    figures = dict.fromkeys((*names, "diversity"), points) | {"loss_once": [(1.0, 1.0)]}

    charts = charts_of(figures)

    assert [chart.title for chart in charts] == ["Loss", "Kernel distance", "Gradient norm", "Logits"]
    assert [line.name for line in charts[0].lines] == ["generator", "discriminator"]
    assert charts[1].lines[0].points == tuple(points)
    assert summarise({"kid": points}) == {"kid": {"first": 1.0, "last": 2.0, "least": 1.0, "most": 3.0}}


def test_long_runs_are_averaged_to_what_a_picture_shows() -> None:
    points = [(float(i), float(i % 2)) for i in range(10_000)]
    [chart] = charts_of({"diversity": points})
    [line] = chart.lines
    assert 200 <= len(line.points) <= 240
    assert all(abs(y - 0.5) < 0.02 for _, y in line.points)
