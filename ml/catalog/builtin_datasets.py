"""Data sets that come with the platform or one of its packages."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class BuiltinDataset:
    """A data set that comes with the platform or one of its packages."""

    name: str
    title: str
    modality: Literal["image"]
    licence: str
    source: str
    sample_count: int | None = None


BUILTIN_DATASETS: Mapping[str, BuiltinDataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            BuiltinDataset(
                name="digits",
                title="Handwritten digits, 32 px, 10 classes",
                modality="image",
                licence="CC-BY-4.0",
                source="UCI optdigits test split, as shipped with scikit-learn",
                sample_count=1797,
            ),
            BuiltinDataset(
                name="fashion-mnist",
                title="Fashion-MNIST, 28 px, 10 classes; its test split is held out",
                modality="image",
                licence="MIT",
                source="github.com/zalandoresearch/fashion-mnist",
                sample_count=70_000,
            ),
        )
    }
)
