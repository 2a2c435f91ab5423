"""Precision, recall, density and coverage: by hand, against their authors' code, whole or in blocks."""

import pytest
import torch
from prdc import compute_prdc

from ml.errors import MlError
from ml.metrics import distances
from ml.metrics.neighbours import neighbourhood, squared_radii
from tests.unit.ml.metrics.clouds import cloud


def test_by_hand_on_a_line() -> None:
    """k = 1, reals at 0, 1, 10: radii 1, 1, 9. Fakes at 0.5 and 100: radii 99.5 each.

    0.5 lies in the balls of 0 and 1 only (10 - 0.5 = 9.5), 100 in none; both fakes' balls hold every real but
    that of 100, which ends at 0.5 and so misses 0.
    """
    real, fake = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.5], [100.0]])

    found = neighbourhood(real, fake, k=1)

    assert squared_radii(real, 1).tolist() == pytest.approx([1, 1, 81])
    assert found == pytest.approx((1 / 2, 1.0, 2 / 2, 2 / 3))


@pytest.mark.parametrize("k", [3, 5])
def test_equals_prdc_on_the_same_features(k: int, capsys: pytest.CaptureFixture[str]) -> None:
    real, fake = cloud(400, 16, seed=0), cloud(300, 16, seed=1, shift=0.4, spread=0.8)
    expected = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    capsys.readouterr()

    found = neighbourhood(real, fake, k=k)

    assert found._asdict() == pytest.approx(expected, rel=1e-3)
    assert 0 < found.precision < 1
    assert 0 < found.coverage < 1


def test_blocks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = cloud(203, 6, seed=0), cloud(101, 6, seed=1, shift=0.5)
    whole, radii = neighbourhood(real, fake), squared_radii(real)

    monkeypatch.setattr(distances, "BLOCK_ELEMENTS", 7 * 203)

    assert len(list(distances.distance_blocks(real, real))) == 29
    assert neighbourhood(real, fake) == whole
    assert squared_radii(real).allclose(radii, rtol=1e-5)


def test_far_samples_get_nothing_and_one_mode_covers_little() -> None:
    real = torch.cat([cloud(100, seed=0), cloud(100, seed=1, shift=50)])

    assert neighbourhood(real, cloud(100, seed=2, shift=-50)) == (0, 0, 0, 0)
    one_mode = neighbourhood(real, cloud(200, seed=3))
    assert one_mode.precision > 0.8
    assert one_mode.coverage < 0.55


def test_needs_more_samples_than_neighbours() -> None:
    with pytest.raises(MlError, match="at least 6"):
        neighbourhood(cloud(5, seed=0), cloud(50, seed=1))
