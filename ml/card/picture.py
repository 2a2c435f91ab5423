"""The model card on one sheet: curves and figures above, samples of each class and nearest neighbours below."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ml.card.charts import draw_chart
from ml.card.drawing import (
    MUTED,
    PAPER,
    RULE,
    drawable,
    enlarged,
    fitting,
    font,
    paragraph,
    scale_for,
    write,
)
from ml.card.history import Chart
from ml.card.markdown import FIGURE_NAMES, number

WIDTH = 1200
MOST_CLASSES = 20
COLUMNS = 10
ROWS_WITHOUT_CLASSES = 6
_MARGIN = 24
_GAP = 3
_CHART = (380, 168)
_FIGURES_LEFT = 836
_LONGEST_LABEL = 110
_LABEL_SIZE = 13
_PAIR_COLUMNS = 2
_LEAST_ROOM = 90


@dataclass(frozen=True)
class PictureParts:
    """The images on the sheet.

    Attributes:
        rows: samples, uint8 [H, W, C]: a row of each class, or just rows.
        row_names: names of the classes; empty without.
        pairs: (sample, training image, words below) of the nearest neighbours.
    """

    rows: Sequence[Sequence[NDArray[np.uint8]]]
    row_names: Sequence[str]
    pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8], str]]


def draw_card(card: Mapping[str, Any], charts: Sequence[Chart], parts: PictureParts) -> NDArray[np.uint8]:
    """Draw the sheet: uint8 [H, 1200, 3]."""
    chart_rows = math.ceil(len(charts) / 2)
    middle = 84 + max(chart_rows * (_CHART[1] + 14), 26 * (len(card["figures"]["values"]) + 3)) + 10
    bottom = middle + 30 + max(_rows_height(parts), _pairs_height(parts)) + 12
    canvas = Image.new("RGB", (WIDTH, bottom + 34), PAPER)
    draw = ImageDraw.Draw(canvas)
    _head(draw, card)
    for i, chart in enumerate(charts):
        left, top = _MARGIN + (i % 2) * (_CHART[0] + 16), 84 + (i // 2) * (_CHART[1] + 14)
        canvas.paste(draw_chart(chart, width=_CHART[0], height=_CHART[1]), (left, top))
    _figures(draw, card["figures"])
    draw.line([(_MARGIN, middle), (WIDTH - _MARGIN, middle)], fill=RULE)
    _samples(canvas, draw, parts, middle + 10)
    below = _pairs(canvas, draw, parts, card, middle + 10)
    _limits(draw, card, parts, middle + 10, below, lowest=bottom)
    write(
        draw,
        (_MARGIN, bottom + 10),
        "Every sample on this sheet is AI-made. All limits stand in the model card's text.",
        size=12,
        colour=MUTED,
    )
    return np.asarray(canvas)


def _head(draw: ImageDraw.ImageDraw, card: Mapping[str, Any]) -> None:
    title = drawable(card["title"], f"{card['recipe']['name']} generator")
    write(draw, (_MARGIN, 18), fitting(title, 26, WIDTH - 2 * _MARGIN), size=26)
    training, data = card["training"], card["dataset"]
    where = ", ".join(str(training[name]) for name in ("device", "precision") if name in training)
    held_out = f", {data['held_out']:,} held out" if data["held_out"] else ""
    name = drawable(data["name"], "its data")
    words = (
        f"{card['recipe']['title']}   ·   {training['images_seen']:,} images shown in {training['seconds']:,.0f} s"
        f"{f' ({where})' if where else ''}   ·   seed {card['seed']}   ·   {name}: {data['count']:,} images"
        f"{held_out}"
    )
    write(draw, (_MARGIN, 54), fitting(words, 13, WIDTH - 2 * _MARGIN), size=13, colour=MUTED)


def _figures(draw: ImageDraw.ImageDraw, figures: Mapping[str, Any]) -> None:
    left, right, top = _FIGURES_LEFT, WIDTH - _MARGIN, 84
    write(draw, (left, top), "Figures", size=14)
    if not figures["measured"]:
        words = drawable(
            f"Not measured. {figures['reason']['message']}", "Not measured: see the card's text."
        )
        paragraph(draw, (left, top + 24), words, width=right - left, lowest=top + 300)
        return
    write(draw, (right - 74, top + 2), "samples", size=12, colour=MUTED, anchor="ra")
    write(draw, (right, top + 2), "floor", size=12, colour=MUTED, anchor="ra")
    for row, (name, figure) in enumerate(figures["values"].items()):
        y = top + 26 * (row + 1)
        draw.line([(left, y - 3), (right, y - 3)], fill=RULE)
        write(draw, (left, y + 2), drawable(FIGURE_NAMES.get(name, name), name), size=13)
        write(draw, (right - 74, y + 2), number(figure["value"]), size=13, anchor="ra")
        write(draw, (right, y + 2), number(figure["floor"]), size=13, colour=MUTED, anchor="ra")
    words = f"n = {figures['n']:,}; floor: real images in the samples' place"
    write(draw, (left, top + 26 * (len(figures["values"]) + 1) + 2), words, size=11, colour=MUTED)


def _cell(parts: PictureParts) -> int:
    side = parts.rows[0][0].shape[0]
    return int(side * scale_for(side)) + _GAP


def _rows_height(parts: PictureParts) -> int:
    return len(parts.rows) * _cell(parts)


def _pairs_height(parts: PictureParts) -> int:
    return math.ceil(len(parts.pairs) / _PAIR_COLUMNS) * (_cell(parts) + 18)


def _samples(canvas: Image.Image, draw: ImageDraw.ImageDraw, parts: PictureParts, top: int) -> None:
    cell, scale = _cell(parts), scale_for(parts.rows[0][0].shape[0])
    write(draw, (_MARGIN, top), "Samples of each class" if parts.row_names else "Samples", size=14)
    names = [drawable(name, f"class {r}") for r, name in enumerate(parts.row_names)]
    labels = [fitting(name, _LABEL_SIZE, _LONGEST_LABEL) for name in names]
    left = _MARGIN + round(max((font(_LABEL_SIZE).getlength(label) + 12 for label in labels), default=0))
    for r, row in enumerate(parts.rows):
        y = top + 24 + r * cell
        if labels:
            write(draw, (_MARGIN, y + cell / 2), labels[r], size=_LABEL_SIZE, anchor="lm")
        for c, image in enumerate(row):
            canvas.paste(enlarged(image, scale), (left + c * cell, y))


def _pairs(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    parts: PictureParts,
    card: Mapping[str, Any],
    top: int,
) -> int:
    """Draw the nearest pairs; return where they end."""
    if not parts.pairs:
        return top
    cell, scale = _cell(parts), scale_for(parts.pairs[0][0].shape[0])
    write(
        draw,
        (_FIGURES_LEFT, top),
        f"Nearest of {card['neighbours']['looked_at']:,} samples | training image",
        size=14,
    )
    for i, (sample, training, words) in enumerate(parts.pairs):
        x = _FIGURES_LEFT + (i % _PAIR_COLUMNS) * (2 * cell + 24)
        y = top + 24 + (i // _PAIR_COLUMNS) * (cell + 18)
        canvas.paste(enlarged(sample, scale), (x, y))
        canvas.paste(enlarged(training, scale), (x + cell, y))
        write(draw, (x, y + cell - 1), words, size=11, colour=MUTED)
    return top + 24 + _pairs_height(parts)


def _limits(
    draw: ImageDraw.ImageDraw,
    card: Mapping[str, Any],
    parts: PictureParts,
    top: int,
    below_pairs: int,
    *,
    lowest: int,
) -> None:
    """Draw the limits where there is more room, below the samples or the pairs, as far as it reaches."""
    below_rows = top + 24 + _rows_height(parts)
    if below_rows < below_pairs:
        left, width, start = _MARGIN, _FIGURES_LEFT - 3 * _MARGIN, below_rows
    else:
        left, width, start = _FIGURES_LEFT, WIDTH - _MARGIN - _FIGURES_LEFT, below_pairs
    if start + _LEAST_ROOM > lowest:
        return
    write(draw, (left, start + 8), "Limits", size=14)
    at: int | None = start + 30
    for limit in card["limits"]:
        words = drawable(limit, "")
        if words and at is not None:
            at = paragraph(draw, (left, at), words, width=width, lowest=lowest, size=12)
