"""Differentiable augmentation: what the discriminator sees of real and fake images alike.

DiffAugment, Zhao et al. 2020, arXiv:2006.10738: translation by up to 1/8 of the size and a cutout of half
of it. Each image is augmented with probability p, so that the generator cannot learn the augmentation
itself (Karras et al. 2020, arXiv:2006.06676, section 2.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TRANSLATION_SHARE = 1 / 8
CUTOUT_SHARE = 1 / 2


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random parameters for one batch, so that they can be drawn apart from where they are used.

    Attributes:
        shift: int64 [N, 2], pixels down and right.
        cutout_centre: int64 [N, 2], row and column; far outside the image for images left whole.
    """

    shift: Tensor
    cutout_centre: Tensor


def draw_augmentation(count: int, px: int, *, probability: float, rng: torch.Generator) -> Augmentation:
    """Draw parameters for `count` images on the CPU from `rng`."""
    reach = round(px * TRANSLATION_SHARE)
    shift = torch.randint(-reach, reach + 1, (count, 2), generator=rng)
    moved = torch.rand(count, 1, generator=rng) < probability
    centre = torch.randint(0, px + 1, (count, 2), generator=rng)
    cut = torch.rand(count, 1, generator=rng) < probability
    return Augmentation(shift=shift * moved, cutout_centre=torch.where(cut, centre, torch.tensor(-2 * px)))


def augment(images: Tensor, parameters: Augmentation) -> Tensor:
    """Translate (edges repeat the background of -1) and cut out; gradients pass through.

    Args:
        images: float [N, C, H, W] in [-1, 1].
        parameters: for these N images.
    """
    count, _, height, width = images.shape
    device = images.device
    shift = parameters.shift.to(device)
    rows = torch.arange(height, device=device) - shift[:, 0:1]
    columns = torch.arange(width, device=device) - shift[:, 1:2]
    inside_rows = (rows >= 0) & (rows < height)
    inside_columns = (columns >= 0) & (columns < width)
    batch = torch.arange(count, device=device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[
        batch, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
    ].permute(0, 3, 1, 2)
    visible = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    # Uncovered pixels take the colour of -1, cut pixels 0: mid-grey, as in the paper's code for both.
    centre = parameters.cutout_centre.to(device)
    half_height, half_width = height * CUTOUT_SHARE / 2, width * CUTOUT_SHARE / 2
    cut_rows = (torch.arange(height, device=device) - centre[:, 0:1]).abs() < half_height
    cut_columns = (torch.arange(width, device=device) - centre[:, 1:2]).abs() < half_width
    cut = (cut_rows[:, :, None] & cut_columns[:, None, :])[:, None]
    return torch.where(cut, 0.0, torch.where(visible, moved, -1.0))
