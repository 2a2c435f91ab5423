"""Feature spaces in which samples can be scored; `ml.features.registry` loads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ShippedExtractor:
    """One that every installation has.

    Attributes:
        channels: of the images it can take; empty for any.
    """

    name: str
    title: str
    channels: tuple[int, ...] = ()


SHIPPED_EXTRACTORS: Mapping[str, ShippedExtractor] = MappingProxyType(
    {
        extractor.name: extractor
        for extractor in (
            ShippedExtractor("digits-32", "A classifier of handwritten digits, grey", (1,)),
            ShippedExtractor("fashion-28", "A classifier of clothing, grey", (1,)),
            ShippedExtractor("lite0-112", "The middle of EfficientNet-Lite0, trained on photographs", (1, 3)),
            ShippedExtractor("pixels", "Principal components of the pixels"),
        )
    }
)
