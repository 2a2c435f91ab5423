"""What a page reads out of a model card: cards of other forms and broken ones must not break it."""

from typing import Any

import pytest

from aigc_platform.console.model_card import Card, FigureRow


def test_figures_come_beside_their_floors() -> None:
    value = {"value": 22.3333, "floor": 2.1974, "better": "lower"}
    alone = {"value": 1, "floor": None, "better": "one"}
    card = Card(
        {"figures": {"measured": True, "n": 1200, "values": {"frechet_distance": value, "density": alone}}}
    )
    assert card.figures == [
        FigureRow("Fréchet distance", "22.33", "2.197", "low"),
        FigureRow("Density", "1", "–", "1"),
    ]
    assert card.figures_note.startswith("1,200 samples")


def test_a_card_without_figures_says_why() -> None:
    reason = {"code": "evaluation.too_few", "message": "Only 9 images are held out."}
    card = Card({"figures": {"measured": False, "reason": reason, "values": {}}})
    assert card.figures == []
    assert card.figures_note == "Not measured. Only 9 images are held out."


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"figures": {"loss_generator": 0.7}, "licence": "MIT", "limits": 7},
        {"figures": {"values": {"x": 3, "y": {"value": "high"}}}, "licence": None},
        {"figures": [1]},
    ],
)
def test_cards_of_other_forms_show_nothing(content: dict[str, Any]) -> None:
    card = Card(content)
    assert (card.figures, card.figures_note, card.limits, card.licence) == ([], "", [], "")
