"""Which extractor scores which data: chosen by size, channels and data set, and the reason is told."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from ml.data.packed import PackedDataset
from ml.data.split import Split
from ml.errors import MlError
from ml.features import lite
from ml.features.extractor import ClassifierExtractor, FeatureExtractor
from ml.features.pixels import PixelExtractor
from ml.features.weights import load_network

PIXELS = "pixels"
SIMILAR_PX = range(20, 41)
"""Sides of images that a network for 28 px may be used on."""
COLOUR_CHANNELS = 3
LEAST_LITE_PX = 16
"""Smaller images are mostly interpolation once they are at the network's size."""


@dataclass(frozen=True)
class Entry:
    """One way to get features.

    Attributes:
        name: unique.
        load: makes the extractor for a data set and its split.
        suits: why this extractor fits a data set, in a sentence; None if it does not.
    """

    name: str
    load: Callable[[PackedDataset, Split], FeatureExtractor]
    suits: Callable[[PackedDataset], str | None]


@dataclass(frozen=True)
class Choice:
    """An extractor and why it was taken."""

    extractor: FeatureExtractor
    reason: str


class ExtractorRegistry:
    """Extractors by name. Those registered last are asked first whether they suit a data set."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def register(self, entry: Entry) -> None:
        """Add an extractor.

        Raises:
            ValueError: the name is taken.
        """
        if entry.name in self._entries:
            raise ValueError(f"there already is a feature extractor {entry.name!r}")
        self._entries[entry.name] = entry

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._entries))

    def choose(self, dataset: PackedDataset, split: Split, *, wanted: str | None = None) -> Choice:
        """Take the wanted extractor, or the first that suits the data.

        Args:
            dataset: what will be scored against.
            split: its training side is what an extractor may be fitted to.
            wanted: a registered name, or the path of a file that `python -m ml.features.train` wrote.

        Raises:
            MlError: there is no such extractor, or it cannot take images of this kind.
            InvalidCheckpointError: its weights are missing or changed.
        """
        if wanted is not None and wanted not in self._entries:
            return _from_file(Path(wanted), dataset, self.names)
        if wanted is not None:
            entry = self._entries[wanted]
            extractor = entry.load(dataset, split)
            check_channels(extractor, dataset)
            return Choice(extractor, "it was asked for by name")
        for entry in reversed(self._entries.values()):
            reason = entry.suits(dataset)
            if reason is not None:
                return Choice(entry.load(dataset, split), reason)
        raise MlError("features.none", "No feature extractor suits this data set.")


def check_channels(extractor: FeatureExtractor, dataset: PackedDataset) -> None:
    """Refuse a network for images of another number of channels.

    Raises:
        MlError: it does not fit.
    """
    channels = dataset.image_shape[0]
    if isinstance(extractor, lite.LiteExtractor) and channels not in lite.CHANNELS:
        raise MlError(
            "features.channels",
            f"The feature network {extractor.name} takes grey or colour images; {dataset.name} has {channels} "
            f"channels. Choose {PIXELS}.",
        )
    if isinstance(extractor, ClassifierExtractor) and extractor.network.spec.channels != channels:
        needs = extractor.network.spec.channels
        raise MlError(
            "features.channels",
            f"The feature network {extractor.name} takes images of {needs} channels; {dataset.name} has "
            f"{channels}. Choose another, or {PIXELS}.",
        )


def _from_file(path: Path, dataset: PackedDataset, names: tuple[str, ...]) -> Choice:
    if not path.is_file():
        raise MlError(
            "features.unknown",
            f"There is no feature extractor {str(path)!r}; there are: {', '.join(names)}, or the path of a file "
            "made by python -m ml.features.train.",
        )
    network, document, sha256 = load_network(path)
    extractor = ClassifierExtractor(network, document, sha256)
    check_channels(extractor, dataset)
    return Choice(extractor, f"it was asked for by its file, {path.name}")


def _shipped(name: str, builtin: str, sha256: str, *, for_other_grey: bool = False) -> Entry:
    def load(_dataset: PackedDataset, _split: Split) -> FeatureExtractor:
        with as_file(files("ml.features") / "shipped" / f"{name}.safetensors") as path:
            network, document, actual = load_network(path, expected_sha256=sha256)
        return ClassifierExtractor(network, document, actual)

    def suits(dataset: PackedDataset) -> str | None:
        if dataset.manifest.get("source", {}).get("builtin") == builtin:
            return f"it was trained on the training side of {builtin} with its classes"
        channels, height, width = dataset.image_shape
        if for_other_grey and channels == 1 and all(side in SIMILAR_PX for side in (height, width)):
            return "the images are grey and near its size; on such it saw more faults than pixels did"
        return None

    return Entry(name, load, suits)


EXTRACTORS = ExtractorRegistry()
"""What evaluation knows. Add your own with `EXTRACTORS.register(Entry(…))` before you evaluate."""

EXTRACTORS.register(
    Entry(
        PIXELS,
        load=PixelExtractor.fit,
        suits=lambda _dataset: (
            "no feature network was trained on this data, so principal components are used"
        ),
    )
)
EXTRACTORS.register(
    Entry(
        lite.NAME,
        load=lambda dataset, _split: lite.load_lite(is_grey=dataset.image_shape[0] == 1),
        suits=lambda dataset: (
            "the images have colours, and no network was trained on them"
            if dataset.image_shape[0] == COLOUR_CHANNELS and min(dataset.image_shape[1:]) >= LEAST_LITE_PX
            else None
        ),
    )
)
EXTRACTORS.register(
    _shipped(
        "fashion-28",
        "fashion-mnist",
        "bc4048213c85ac83faf2d1251880afa51d7e18b3db80a15a7755dca8491466ba",
        for_other_grey=True,
    )
)
EXTRACTORS.register(
    _shipped("digits-32", "digits", "81af447ec05f1cb37d526e3c851ad11ff5313c55ca1640314bbd0d2baff0f2b4")
)
