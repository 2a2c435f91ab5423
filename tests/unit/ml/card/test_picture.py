"""The sheet, at the ends of what it may be asked to draw."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.card.charts import draw_chart, round_ticks
from ml.card.drawing import as_rgb, drawable, fitting, font
from ml.card.history import Chart, Line
from ml.card.picture import WIDTH, PictureParts, draw_card


def card(**changes: Any) -> dict[str, Any]:
    value = {"value": 3.0, "floor": None, "better": "lower"}
    return {
        "title": "t",
        "recipe": {"name": "dcgan", "title": "DCGAN"},
        "seed": 0,
        "training": {"images_seen": 10, "seconds": 1.0, "device": "cpu"},
        "dataset": {"name": "d", "count": 9, "held_out": 0},
        "figures": {"measured": True, "n": 50, "values": {"frechet_distance": value}},
        "neighbours": {"looked_at": 50},
        "limits": ["It makes nothing else."],
    } | changes


def noise(px: int, channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (px, px, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("px", [8, 64, 128])
def test_images_of_every_kind_fit_the_sheet(px: int, channels: int) -> None:
    image = noise(px, channels)
    parts = PictureParts([[image] * 5] * 2, ["a", "菱形"], [(image, image, "0.5")] * 8)
    sheet = draw_card(card(), [Chart("Loss", (Line("", ((0.0, 1.0), (1.0, 2.0))),))], parts)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1:] == (WIDTH, 3)
    assert sheet.min() < 50


def test_a_card_without_figures_curves_and_pairs_is_drawn_too() -> None:
    figures = {"measured": False, "reason": {"message": "Too few images. " * 20}, "values": {}}
    parts = PictureParts([[noise(8, 1)] * 10] * 6, [], [])
    sheet = draw_card(card(title="x" * 500, figures=figures, neighbours=None), [], parts)
    assert sheet.shape[1] == WIDTH


def test_letters_that_the_font_lacks_are_never_drawn_as_boxes() -> None:
    assert drawable("élan, Å", "class 1") == "elan, A"
    assert drawable("菱形", "class 1") == "class 1"
    assert drawable("a\nb", "class 1") == "class 1"
    cut = fitting("w" * 500, 13, 100)
    assert cut.endswith("…")
    assert font(13).getlength(cut) <= 100


def test_alpha_is_laid_over_light_grey() -> None:
    image = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], dtype=np.uint8)
    assert as_rgb(image).tolist() == [[[255, 0, 0], [200, 200, 200]]]
    assert as_rgb(image[:, :, :1]).tolist() == [[[255] * 3] * 2]


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e12])
def test_a_flat_line_has_an_axis(value: float) -> None:
    chart = Chart("Loss", (Line("generator", ((0.0, value), (5.0, value))),))
    assert draw_chart(chart, width=300, height=120).size == (300, 120)


def test_ticks_enclose_and_are_round() -> None:
    assert round_ticks(0.0, 6.0, 3) == [0.0, 2.0, 4.0, 6.0]
    assert round_ticks(-0.03, 0.11, 3) == [-0.05, 0.0, 0.05, 0.1, 0.15]
    assert round_ticks(2.0, 2.0, 3)[0] <= 2.0 <= round_ticks(2.0, 2.0, 3)[-1]
