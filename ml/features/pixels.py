"""Features without a network: principal components of the pixels, where no trained network fits.

They know nothing of content. A missing class or a blurred picture shows; "looks like a shoe" does not.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ml.data.packed import PackedDataset
from ml.data.split import Split
from ml.features.images import batches, prepared, resize_rule
from ml.seeds import random_stream

LARGEST_PX = 32
COMPONENTS = 64
FIT_IMAGES = 5000
LEAST_DEVIATION = 0.01
"""About one grey level: what varies less is rounding, not content."""
_SEED = 0
_WARNING = (
    "The features are principal components of pixels, fitted to this data set: they see colour, layout and blur, "
    "not content, and their figures compare with no other data set's."
)


@dataclass(frozen=True)
class PixelExtractor:
    """Projection on principal components of the training images, each over the root of its standard deviation.

    Attributes:
        mean: mean image, float32 [P].
        projection: float32 [P, D].
        px: side that images are brought to.
        sha256: of the data set's hash, its split and the settings; the projection follows from them.
    """

    mean: Tensor
    projection: Tensor
    px: int
    sha256: str

    @classmethod
    def fit(cls, dataset: PackedDataset, split: Split) -> Self:
        """Find the components of the training side of a data set, from at most 5,000 images."""
        px = min(LARGEST_PX, max(dataset.image_shape[1:]))
        order = torch.randperm(len(split.train), generator=random_stream(_SEED, "pixels/fit"))
        picked = split.train[order[:FIT_IMAGES]]
        points = prepared(dataset.images[picked], px).flatten(1).double()
        mean = points.mean(0)
        size = min(COMPONENTS, *points.shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            _, lengths, directions = torch.svd_lowrank(points - mean, q=size, niter=6)
        # Half-way to unit variance: at full variance the first few components drown the fine detail, at unit
        # variance the last few drown content (measured, docs/explanation/reading-the-figures.md).
        projection = directions / (lengths / len(points) ** 0.5).clamp(min=LEAST_DEVIATION).sqrt()
        projection /= ((points - mean) @ projection).square().mean().sqrt().clamp(min=LEAST_DEVIATION)
        identity = {
            "dataset": dataset.content_sha256,
            "holdout": split.holdout,
            "split_seed": split.seed,
            "fit_images": len(picked),
            "components": size,
            "px": px,
        }
        sha256 = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return cls(mean.float(), projection.float(), px, sha256)

    @property
    def name(self) -> str:
        """`pixels-` and the number of components."""
        return f"pixels-{self.size}"

    @property
    def size(self) -> int:
        """Number of components."""
        return self.projection.shape[1]

    @property
    def resize(self) -> str:
        """How images come to one size."""
        return resize_rule(self.px)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What pixels cannot see."""
        return (_WARNING,)

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Project on the components."""
        return torch.cat(
            [(batch.flatten(1) - self.mean) @ self.projection for batch in batches(images, self.px)]
        )
