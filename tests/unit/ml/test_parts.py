"""Small parts of training: the index sampler, augmentation, networks, precision, the contact sheet, threads."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from ml import threads
from ml.catalog import parse_config
from ml.data.sampler import IndexSampler
from ml.grid import column_count, contact_sheet
from ml.networks.build import build_discriminator, build_generator
from ml.networks.dcgan import stage_sizes
from ml.networks.spec import network_specs
from ml.seeds import random_stream, stream_seed
from ml.training.augment import Augmentation, augment, draw_augmentation
from ml.training.precision import choose_precision
from ml.training.state import TrainingState


def test_sampler_shows_every_image_once_an_epoch() -> None:
    sampler = IndexSampler(10, seed=1)
    first, second = [
        torch.cat([sampler.next_batch(4) for _ in range(5)])[part] for part in (slice(10), slice(10, 20))
    ]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()


def test_sampler_serves_batches_larger_than_the_data() -> None:
    counts = Counter(IndexSampler(3, seed=0).next_batch(9).tolist())
    assert counts == {0: 3, 1: 3, 2: 3}


@pytest.mark.parametrize("batches", [0, 1, 2, 3, 5, 7])
def test_sampler_goes_on_where_it_was(batches: int) -> None:
    sampler, other = IndexSampler(10, seed=4), IndexSampler(10, seed=99)
    for _ in range(batches):
        sampler.next_batch(5)
    other.restore(sampler.state())
    for _ in range(6):
        assert torch.equal(sampler.next_batch(5), other.next_batch(5))


def test_streams_of_a_seed_are_unrelated() -> None:
    seeds = {stream_seed(seed, name) for seed in (0, 1, 2**53 - 1) for name in ("noise", "weights")}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert torch.equal(
        torch.rand(3, generator=random_stream(5, "x")), torch.rand(3, generator=random_stream(5, "x"))
    )


NOWHERE = [-100, -100]


def test_translation_moves_and_fills_with_background() -> None:
    images = torch.rand(1, 2, 8, 8)
    moved = augment(images, Augmentation(torch.tensor([[2, -3]]), torch.tensor([NOWHERE])))
    assert torch.equal(moved[:, :, 2:, :5], images[:, :, :6, 3:])
    assert (moved[:, :, :2] == -1).all()
    assert (moved[:, :, :, 5:] == -1).all()


def test_cutout_is_a_square_of_half_the_size() -> None:
    images = torch.ones(1, 1, 16, 16)
    cut = augment(images, Augmentation(torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[8, 8]])))
    assert (cut == 0).sum() == 7 * 7 or (cut == 0).sum() == 8 * 8
    assert cut[0, 0, 8, 8] == 0
    assert cut[0, 0, 0, 0] == 1


def test_augmentation_lets_gradients_through() -> None:
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    parameters = draw_augmentation(3, 8, probability=1.0, rng=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: augment(x, parameters).sum(dim=(1, 2, 3)), (images,))


def test_probability_is_the_share_of_augmented_images() -> None:
    rng = torch.Generator().manual_seed(0)
    none = draw_augmentation(100, 32, probability=0.0, rng=rng)
    images = torch.rand(100, 1, 32, 32)
    assert torch.equal(augment(images, none), images)
    some = draw_augmentation(4000, 32, probability=0.3, rng=rng)
    assert (some.cutout_centre[:, 0] >= 0).float().mean() == pytest.approx(0.3, abs=0.03)
    # A shift of 0, 0 is one of 81.
    assert (some.shift != 0).any(dim=1).float().mean() == pytest.approx(0.3 * 80 / 81, abs=0.03)
    assert int(some.shift.abs().max()) == 4


@pytest.mark.parametrize(
    ("px", "sizes"), [(8, [4, 8]), (32, [4, 8, 16, 32]), (28, [7, 14, 28]), (48, [6, 12, 24, 48])]
)
def test_stage_sizes(px: int, sizes: list[int]) -> None:
    assert stage_sizes(px) == sizes


@pytest.mark.parametrize("recipe", ["mlp-gan", "dcgan"])
@pytest.mark.parametrize("px", [8, 12, 28, 64])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_fit_together(recipe: str, px: int, classes: int, channels: int) -> None:
    small: dict[str, dict[str, object]] = {
        "mlp-gan": {"generator_widths": [8], "discriminator_widths": [8]},
        "dcgan": {"generator_channels": 4, "discriminator_channels": 4},
    }
    config = parse_config(recipe, {"latent_size": 6, **small[recipe]})
    assert channels in {1, 3}
    specs = network_specs(config, px=px, image_channels=3 if channels == 3 else 1, classes=classes)
    assert specs.discriminator is not None
    generator, discriminator = build_generator(specs.generator), build_discriminator(specs.discriminator)
    labels = torch.tensor([0, 1, 2, 1]) if classes else None
    images = generator(torch.randn(4, 6), labels)
    assert images.shape == (4, channels, px, px)
    assert float(images.detach().abs().max()) <= 1
    assert discriminator(images, labels).shape == (4,)


def make_state(**settings: object) -> TrainingState:
    config = parse_config("dcgan", {"generator_channels": 4, "discriminator_channels": 4, **settings})
    specs = network_specs(config, px=8, image_channels=1, classes=0)
    return TrainingState.fresh(config, *specs, image_count=20, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"precision": "bf16"}, {"bf16"}),
        ({"precision": "fp32"}, {"fp32"}),
        ({"precision": "auto", "deterministic": True}, {"fp32"}),
        ({"precision": "auto"}, {"fp32", "bf16"}),
    ],
)
def test_precision_is_chosen_without_touching_the_state(
    settings: dict[str, object], expected: set[str]
) -> None:
    state = make_state()
    before = state.tensors()
    assert choose_precision(state, parse_config("dcgan", settings), classes=0) in expected
    after = state.tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in state.generator.parameters())


def test_columns_follow_classes() -> None:
    assert column_count(64, 10) == 10
    assert column_count(64, 0) == 8
    assert column_count(64, 300) == 8


def test_contact_sheet_places_images_row_by_row() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 4, 6, 3), dtype=np.uint8)
    sheet = contact_sheet(images, 3)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    assert sheet[3, 3, 0] == 0
    assert sheet[3, 11, 0] == 1
    assert sheet[9, 3, 0] == 3
    assert (sheet[8:, 18:] == 255).all()


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("nonsense", None)],
)
def test_container_quota(tmp_path: Path, text: str, cores: float | None) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text(text)
    assert threads._cgroup_quota_cores(limit) == cores


@pytest.mark.parametrize(
    ("cores", "workers", "expected"), [(8, 2, 4), (2, 4, 1), (2, 1, 2), (3, 2, 1), (4, 0, 4)]
)
def test_thread_rule(monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, expected: int) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    assert threads.apply_thread_rule(workers) == expected
    assert torch.get_num_threads() == expected
