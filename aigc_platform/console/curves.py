"""A training's figures as small line charts, drawn as SVG from the progress reports in its event log."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aigc_platform.jobs.models import Job, JobEvent

WIDTH, HEIGHT = 480, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 10, 24
_POINTS_PER_LINE = 300
_TICKS = 4
_FIRST = {"Loss": 0, "Logits": 1, "Gradient norm": 2}


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in SVG units."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One figure over the course of the run; `points` is what `<polyline>` takes."""

    name: str
    points: str
    last: str


@dataclass(frozen=True)
class Chart:
    """Figures of one kind on common axes."""

    title: str
    x_title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Report:
    """One progress report: how far, and the figures there."""

    current: float
    metrics: Mapping[str, float]


def charts_of(job: Job) -> list[Chart]:
    """Return the charts of a job's figures; none if it reported no figures."""
    events = JobEvent.objects.filter(job=job, type=f"{job.kind}.progress").order_by("seq")
    contents = list(events.values_list("data", flat=True))
    unit = next((str(content.get("unit", "")) for content in contents), "")
    return charts_from(_valid_reports(contents), unit=unit)


def charts_from(reports: Sequence[Report], *, unit: str) -> list[Chart]:
    """Draw every figure of the reports, figures of one kind (all losses, say) in one chart."""
    scale, x_title = (1000.0, "kimg") if unit == "images" else (1.0, unit)
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for report in what_counts(reports):
        for name, value in report.metrics.items():
            figures[name].append((report.current / scale, value))
    groups: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(dict)
    for name in sorted(figures):
        if len(figures[name]) >= 2:
            title, short_name = _title_and_name(name)
            groups[title][short_name] = _thin(figures[name])
    # What one looks at first comes first, the rest by name.
    titles = sorted(groups, key=lambda title: (_FIRST.get(title, len(_FIRST)), title))
    return [_draw(title, x_title, groups[title]) for title in titles]


def what_counts(reports: Iterable[Report]) -> list[Report]:
    """Drop what a later attempt did over: it went back to a checkpoint, and its figures replace those after it."""
    kept: list[Report] = []
    for report in reports:
        while kept and kept[-1].current >= report.current:
            kept.pop()
        kept.append(report)
    return kept


def _valid_reports(contents: Iterable[Mapping[str, Any]]) -> list[Report]:
    return [
        Report(
            float(content["current"]),
            {
                name: float(value)
                for name, value in content["metrics"].items()
                if isinstance(value, int | float) and math.isfinite(value)
            },
        )
        for content in contents
        if isinstance(content.get("current"), int | float) and isinstance(content.get("metrics"), Mapping)
    ]


def _title_and_name(figure: str) -> tuple[str, str]:
    """Return the chart that a figure belongs to and what its line is called there."""
    for prefix, title in (("loss_", "Loss"), ("gradient_norm_", "Gradient norm")):
        if figure.startswith(prefix):
            return title, figure.removeprefix(prefix)
    if figure.endswith("_logits"):
        return "Logits", figure.removesuffix("_logits")
    return figure.replace("_", " ").capitalize(), ""


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average neighbours until at most `_POINTS_PER_LINE` points are left."""
    bucket = math.ceil(len(points) / _POINTS_PER_LINE)
    if bucket == 1:
        return points
    chunks = (points[start : start + bucket] for start in range(0, len(points), bucket))
    return [
        (sum(x for x, _ in chunk) / len(chunk), sum(y for _, y in chunk) / len(chunk)) for chunk in chunks
    ]


def _draw(title: str, x_title: str, figures: Mapping[str, Sequence[tuple[float, float]]]) -> Chart:
    xs = [x for points in figures.values() for x, _ in points]
    ys = [y for points in figures.values() for _, y in points]
    x_low, x_high = min(xs), max(xs)
    y_values = round_ticks(min(ys), max(ys))
    y_low, y_high = y_values[0], y_values[-1]

    def place_x(x: float) -> float:
        return round(_LEFT + (x - x_low) / ((x_high - x_low) or 1.0) * (WIDTH - _LEFT - _RIGHT), 1)

    def place_y(y: float) -> float:
        return round(HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM), 1)

    return Chart(
        title=title,
        x_title=x_title,
        lines=tuple(
            Line(
                name=name.replace("_", " "),
                points=" ".join(f"{place_x(x)},{place_y(y)}" for x, y in points),
                last=f"{points[-1][1]:.4g}",
            )
            for name, points in figures.items()
        ),
        x_ticks=tuple(
            Tick(place_x(x), f"{x:,g}") for x in round_ticks(x_low, x_high) if x_low <= x <= x_high
        ),
        y_ticks=tuple(Tick(place_y(y), f"{y:,g}") for y in y_values),
    )


def round_ticks(low: float, high: float) -> list[float]:
    """Return about four values at round distances (1, 2 or 5 times a power of ten) that enclose `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / _TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        last += 1
    return [round(count * step, 10) for count in range(first, last + 1)]
