"""Images from a snapshot, addressed by seed: image i of a seed is the same whoever asks, and beside whom.

Two things make it so, bit for bit on one kind of device: the noise of an image comes from a counter-based
random generator keyed by (seed, index), and every forward pass has the same fixed batch size, padded where
there are fewer images, so that neighbours only change rows that no other row reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.catalog import LARGEST_SEED
from ml.checkpoint import load_snapshot
from ml.errors import InvalidSampleError
from ml.networks.build import place
from ml.networks.frozen import frozen

FORWARD_BATCH = 16
"""Images in every pass. Part of what a seed means: another number may round differently."""
LARGEST_TRUNCATION = 2.0


@dataclass(frozen=True, slots=True)
class SampleItem:
    """One image to make.

    Attributes:
        seed: of the generation it belongs to, 0 to 2^53 - 1.
        index: its place in that generation, 0 to 2^53 - 1.
        class_index: which class; None exactly for a generator without classes.
        truncation: factor on the noise, above 0 to 2; below 1 trades variety for typical images.
    """

    seed: int
    index: int
    class_index: int | None = None
    truncation: float = 1.0


def class_of(index: int, classes: Sequence[str], requested: str | None = None) -> int | None:
    """Class of output `index`: the requested one, else classes take turns; None without classes.

    Raises:
        InvalidSampleError: the requested class is not one of `classes`.
    """
    if requested is not None:
        if requested not in classes:
            known = ", ".join(classes[:20]) or "none, it was trained without labels"
            raise InvalidSampleError(
                "sample.unknown_class", f"This model has no class {requested!r}. Its classes: {known}."
            )
        return classes.index(requested)
    return index % len(classes) if classes else None


def latent(seed: int, index: int, size: int) -> NDArray[np.float32]:
    """Standard normal noise of image `index` of `seed`: float32 [size].

    Philox (Salmon et al. 2011) keyed by the pair, so no image's noise depends on another's.
    """
    bits = np.random.Philox(key=np.array([seed, index], dtype=np.uint64))
    return np.random.Generator(bits).standard_normal(size, dtype=np.float32)


class Sampler:
    """A generator ready to sample.

    Attributes:
        classes: class names; empty for an unconditional generator.
        image_shape: height, width and channels of an image.
        sha256: hash of the weights, empty for a generator that was never saved.
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        latent_size: int,
        px: int,
        image_channels: int,
        classes: Sequence[str],
        sha256: str = "",
        device: str | torch.device = "cpu",
    ) -> None:
        """Take a copy of a generator as it is now; sampling is fp32 and channels_last."""
        self._device = torch.device(device)
        self._generator = place(frozen(generator), self._device)
        self._latent_size = latent_size
        self.classes = tuple(classes)
        self.image_shape = (px, px, image_channels)
        self.sha256 = sha256

    @classmethod
    def load(cls, folder: Path, *, device: str | torch.device = "cpu") -> Self:
        """Load a snapshot.

        Raises:
            InvalidCheckpointError: the snapshot is damaged or not one.
        """
        snapshot = load_snapshot(folder)
        spec = snapshot.document.generator
        return cls(
            snapshot.generator,
            latent_size=spec.latent_size,
            px=spec.px,
            image_channels=spec.image_channels,
            classes=snapshot.document.classes,
            sha256=snapshot.sha256,
            device=device,
        )

    def sample(self, items: Sequence[SampleItem]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Make images; items of different seeds share passes.

        Args:
            items: what to make; checked before the first image is made.

        Yields:
            (position in `items`, uint8 [H, W, C]), in the order of `items`.

        Raises:
            InvalidSampleError: an item this generator cannot make.
        """
        for item in items:
            self._check(item)
        return self._sample(items)

    def _sample(self, items: Sequence[SampleItem]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for first in range(0, len(items), FORWARD_BATCH):
            chunk = items[first : first + FORWARD_BATCH]
            yield from enumerate(self._forward(chunk), start=first)

    @torch.inference_mode()
    def _forward(self, items: Sequence[SampleItem]) -> NDArray[np.uint8]:
        """One padded pass: uint8 [len(items), H, W, C]."""
        z = np.zeros((FORWARD_BATCH, self._latent_size), dtype=np.float32)
        labels: Tensor | None = None
        for row, item in enumerate(items):
            z[row] = latent(item.seed, item.index, self._latent_size) * np.float32(item.truncation)
        if self.classes:
            classes = [item.class_index or 0 for item in items]
            padded = classes + [0] * (FORWARD_BATCH - len(classes))
            labels = torch.tensor(padded, dtype=torch.int64, device=self._device)
        images = self._generator(torch.from_numpy(z).to(self._device), labels)[: len(items)]
        grey_levels = images.float().mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8)
        pixels: NDArray[np.uint8] = grey_levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return pixels

    def _check(self, item: SampleItem) -> None:
        if not (0 <= item.seed <= LARGEST_SEED and 0 <= item.index <= LARGEST_SEED):
            raise InvalidSampleError("sample.seed", f"Seed and index must lie in 0..{LARGEST_SEED}.")
        if not 0 < item.truncation <= LARGEST_TRUNCATION:
            raise InvalidSampleError(
                "sample.truncation",
                f"Truncation must be above 0 and at most {LARGEST_TRUNCATION:g}, not {item.truncation:g}.",
            )
        if not self.classes and item.class_index is not None:
            raise InvalidSampleError("sample.unknown_class", "This model was trained without classes.")
        if self.classes and (item.class_index is None or not 0 <= item.class_index < len(self.classes)):
            raise InvalidSampleError(
                "sample.unknown_class",
                f"Class index {item.class_index} is not in 0..{len(self.classes) - 1}.",
            )
