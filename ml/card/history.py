"""The course of a training run, read back from its `metrics.jsonl` and grouped into charts."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MOST_CHARTS = 4
_POINTS_PER_LINE = 240
_NOT_FIGURES = frozenset({"images_seen", "seconds", "images_per_second"})
_FIRST = ("Loss", "Kernel distance", "Gradient norm", "Logits", "Diversity")
"""What one looks at first; others follow by name."""


@dataclass(frozen=True)
class Line:
    """One figure over the run: its name within its chart and its points (thousand images, value)."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """Figures of one kind on common axes."""

    title: str
    lines: tuple[Line, ...]


def read_history(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Read (thousand images, value) of every figure; a line that is cut off or broken is left out.

    A resumed run may have gone back: lines that a later one overtakes are dropped.
    """
    rows: list[dict[str, float]] = []
    text = path.read_text("utf-8") if path.is_file() else ""
    for line in text.splitlines():
        row = _row(line)
        if row is None:
            continue
        while rows and rows[-1]["images_seen"] >= row["images_seen"]:
            rows.pop()
        rows.append(row)
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        for name in row.keys() - _NOT_FIGURES:
            figures[name].append((row["images_seen"] / 1000, row[name]))
    return dict(sorted(figures.items()))


def summarise(figures: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """First, last, least and most value of every figure."""
    return {
        name: {
            "first": points[0][1],
            "last": points[-1][1],
            "least": min(value for _, value in points),
            "most": max(value for _, value in points),
        }
        for name, points in figures.items()
    }


def charts_of(figures: dict[str, list[tuple[float, float]]]) -> list[Chart]:
    """Group figures of one kind (all losses, say); kinds without two points are left out."""
    groups: dict[str, list[Line]] = defaultdict(list)
    for name, points in figures.items():
        if len(points) >= 2:
            title, short = _title_and_name(name)
            groups[title].append(Line(short, tuple(_thin(points))))
    order = sorted(groups, key=lambda title: (_rank(title), title))
    return [Chart(title, tuple(groups[title])) for title in order[:MOST_CHARTS]]


def _row(line: str) -> dict[str, float] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("images_seen"), int):
        return None
    return {name: float(value) for name, value in found.items() if _is_finite_number(value)}


def _is_finite_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _title_and_name(figure: str) -> tuple[str, str]:
    for prefix, title in (("loss_", "Loss"), ("gradient_norm_", "Gradient norm")):
        if figure.startswith(prefix):
            return title, figure.removeprefix(prefix)
    if figure.endswith("_logits"):
        return "Logits", figure.removesuffix("_logits")
    if figure.startswith(("kid", "kernel_distance")):
        return "Kernel distance", figure.removeprefix("kid").removeprefix("kernel_distance").strip("_")
    return figure.replace("_", " ").capitalize(), ""


def _rank(title: str) -> int:
    return _FIRST.index(title) if title in _FIRST else len(_FIRST)


def _thin(points: list[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    """Average neighbours until few enough points are left."""
    bucket = math.ceil(len(points) / _POINTS_PER_LINE)
    for start in range(0, len(points), bucket):
        chunk = points[start : start + bucket]
        yield sum(x for x, _ in chunk) / len(chunk), sum(y for _, y in chunk) / len(chunk)
