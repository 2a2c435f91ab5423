"""Data sets as people name them on a command line."""

from pathlib import Path

from ml.catalog import BUILTIN_DATASETS
from ml.data.builtin import load_builtin
from ml.data.packed import PackedDataset


def load_dataset(name: str, *, folder: Path | None = None) -> PackedDataset:
    """Load a built-in data set by its name, or a packed one by its folder.

    Args:
        name: a key of `BUILTIN_DATASETS`, which wins, or the path of a folder.
        folder: where the source files of a built-in set are, see `load_builtin`.

    Raises:
        InvalidDatasetError: there is no such set, or it is damaged.
    """
    if name not in BUILTIN_DATASETS and Path(name).is_dir():
        return PackedDataset.load(Path(name))
    return load_builtin(name, folder=folder)
