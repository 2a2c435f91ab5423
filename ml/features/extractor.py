"""What a feature extractor is: images in, points in a space where distance means difference out."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from ml.features.classifier import SmallClassifier, features_of
from ml.features.images import resize_rule
from ml.features.weights import NetworkDocument


@runtime_checkable
class FeatureExtractor(Protocol):
    """Figures of two extractors cannot be compared, so each says exactly who it is.

    Attributes:
        name: for people.
        sha256: of its weights, or of all that it was made from.
        size: length D of a feature.
        resize: what it does to images of another size.
        warnings: what a reader of its figures must know, in sentences.
    """

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def resize(self) -> str: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...

    def features(self, images: Tensor) -> Tensor:
        """Features float32 [N, D] of images uint8 [N, C, H, W]; one image's do not depend on its neighbours."""
        ...


@dataclass(frozen=True)
class ClassifierExtractor:
    """The last hidden layer of a classifier, see `ml.features.classifier`."""

    network: SmallClassifier
    document: NetworkDocument
    sha256: str

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.document.name

    @property
    def size(self) -> int:
        """Features of the last hidden layer."""
        return 4 * self.network.spec.width

    @property
    def resize(self) -> str:
        """How images come to the network's size."""
        return resize_rule(self.network.spec.px)

    @property
    def warnings(self) -> tuple[str, ...]:
        """None: what it was trained on is in its document."""
        return ()

    def features(self, images: Tensor) -> Tensor:
        """Features before the rectifier, centred and scaled."""
        return features_of(self.network, images)
