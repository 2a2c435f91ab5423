"""A line chart as a picture, drawn twice as large and brought down, which smooths its lines."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ml.card.drawing import INK, LINES, MUTED, PAPER, RULE, font, write
from ml.card.history import Chart

_FINE = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 26, 20
_UP, _ALONG = 3, 5


def draw_chart(chart: Chart, *, width: int, height: int) -> Image.Image:
    """Draw a chart of `width` x `height` pixels: title and legend above, thousand images along."""
    canvas = Image.new("RGB", (width * _FINE, height * _FINE), PAPER)
    draw = ImageDraw.Draw(canvas)
    xs = [x for line in chart.lines for x, _ in line.points]
    ys = [y for line in chart.lines for _, y in line.points]
    x_ticks, y_ticks = round_ticks(min(xs), max(xs), _ALONG), round_ticks(min(ys), max(ys), _UP)
    x_low, x_high = min(xs), max(xs)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1.0)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return (
            (_LEFT + across * (width - _LEFT - _RIGHT)) * _FINE,
            (height - _BOTTOM - up * (height - _TOP - _BOTTOM)) * _FINE,
        )

    for y in y_ticks:
        left, right = place(x_low, y), place(x_high, y)
        draw.line([left, right], fill=RULE, width=_FINE)
        _label(draw, (left[0] - 6 * _FINE, left[1]), y, "rm")
    inside = [tick for tick in x_ticks if x_low <= tick <= x_high]
    for x in inside:
        unit = " kimg" if x == inside[-1] else ""
        _label(draw, (place(x, 0)[0], (height - _BOTTOM + 4) * _FINE), x, "ra" if unit else "ma", unit)
    for line, colour in zip(chart.lines, _colours(len(chart.lines)), strict=True):
        draw.line([place(x, y) for x, y in line.points], fill=colour, width=2 * _FINE, joint="curve")
    _legend(draw, chart, width)
    return canvas.resize((width, height), Image.Resampling.LANCZOS)


def _legend(draw: ImageDraw.ImageDraw, chart: Chart, width: int) -> None:
    write(draw, (0, 0), chart.title, size=14 * _FINE)
    right = float((width - _RIGHT) * _FINE)
    for line, colour in reversed(list(zip(chart.lines, _colours(len(chart.lines)), strict=True))):
        words = f"{line.name.replace('_', ' ')} {line.points[-1][1]:.3g}".strip()
        write(draw, (right, 2 * _FINE), words, size=12 * _FINE, colour=colour, anchor="ra")
        right -= font(12 * _FINE).getlength(words) + 12 * _FINE


def _label(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], value: float, anchor: str, unit: str = ""
) -> None:
    write(draw, at, f"{value:,g}{unit}", size=11 * _FINE, colour=MUTED, anchor=anchor)


def _colours(count: int) -> Sequence[tuple[int, int, int]]:
    return [LINES[i % len(LINES)] for i in range(count)] if count > 1 else [INK]


def round_ticks(low: float, high: float, about: int) -> list[float]:
    """About so many values at round distances (1, 2 or 5 times a power of ten) that enclose `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / about
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [round(count * step, 10) for count in range(first, last + 1)]
