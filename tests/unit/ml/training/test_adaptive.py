"""Adaptive augmentation: the rule by hand, and that a training follows it."""

import json
from pathlib import Path

import pytest
import torch

from ml.catalog import parse_config
from ml.data.packed import PackedDataset
from ml.distributed import ALONE
from ml.train import train
from ml.training.adaptive import MOST, STEPS_BETWEEN, AdaptiveAugmentation

SURE = torch.full((8,), 3.0)
UNSURE = torch.tensor([1.0, -1.0] * 4)


def observe(adaptive: AdaptiveAugmentation, logits: torch.Tensor, batches: int) -> None:
    for _ in range(batches):
        adaptive.observe(logits, ALONE)


def test_p_moves_by_images_over_its_speed_towards_the_target() -> None:
    adaptive = AdaptiveAugmentation(0.1, target=0.6, images_per_unit=1000.0)
    observe(adaptive, SURE, STEPS_BETWEEN - 1)
    assert adaptive.probability == 0.1
    observe(adaptive, SURE, 1)
    moved = 8 * STEPS_BETWEEN / 1000
    assert adaptive.probability == pytest.approx(0.1 + moved)
    # The mean sign is 0 here, although the mean logit would be 0 for other reasons too.
    observe(adaptive, UNSURE, 2 * STEPS_BETWEEN)
    assert adaptive.probability == pytest.approx(0.1 - moved)


def test_the_size_of_a_logit_does_not_count_only_its_sign() -> None:
    adaptive = AdaptiveAugmentation(0.5, target=0.6, images_per_unit=1000.0)
    one_very_sure = torch.tensor([1e6, *[-1e-3] * 7])
    observe(adaptive, one_very_sure, STEPS_BETWEEN)
    assert adaptive.probability < 0.5


@pytest.mark.parametrize(("logits", "end"), [(SURE, MOST), (UNSURE, 0.0)])
def test_p_stays_between_never_and_what_does_not_leak(logits: torch.Tensor, end: float) -> None:
    adaptive = AdaptiveAugmentation(0.4, target=0.6, images_per_unit=50.0)
    observe(adaptive, logits, 20 * STEPS_BETWEEN)
    assert adaptive.probability == end


def test_a_fixed_p_is_left_alone() -> None:
    fixed = AdaptiveAugmentation.of(parse_config("dcgan", {"augment_probability": 0.3}))
    observe(fixed, SURE, 10 * STEPS_BETWEEN)
    assert (fixed.is_adaptive, fixed.probability) == (False, 0.3)
    assert AdaptiveAugmentation.of(parse_config("vae", {})).probability == 0.0


def test_what_was_stored_goes_on_where_it_was() -> None:
    whole, first = (AdaptiveAugmentation(0.1, target=0.6, images_per_unit=1000.0) for _ in range(2))
    observe(whole, SURE, 2 * STEPS_BETWEEN)
    observe(first, SURE, STEPS_BETWEEN + 1)
    second = AdaptiveAugmentation(0.1, target=0.6, images_per_unit=1000.0)
    second.restore(first.tensor())
    observe(second, SURE, STEPS_BETWEEN - 1)
    assert torch.equal(second.tensor(), whole.tensor())


def test_a_discriminator_that_knows_its_few_images_by_heart_gets_more_augmentation(
    striped_dataset: PackedDataset, tmp_path: Path
) -> None:
    settings = {
        "network": "mlp",
        "discriminator_norm": "none",
        "batch_size": 16,
        "kimg": 3.2,
        "augment_probability": 0.0,
        "augment_target": 0.2,
        "augment_adapt_kimg": 4.0,
        "kid_kimg": 0.0,
        "grid_seconds": 0.0,
        "tick_seconds": 0.0,
        "card_samples": 0,
        "holdout": 0.0,
    }
    train(striped_dataset, parse_config("dcgan", settings), recipe="dcgan", out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    course = [line["augment_probability"] for line in lines if "augment_probability" in line]
    assert max(course) > course[0] == pytest.approx(0.0, abs=0.05)
