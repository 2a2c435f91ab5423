"""Loaded generators, kept warm between jobs."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch

from ml.environment import default_device
from ml.sample import Sampler

CAPACITY_BYTES = 512 << 20
"""Weights kept in memory; small generators have a few MB, so this is some hundred of them."""


class SamplerCache:
    """Keeps the samplers that were used last, up to a size, by what their snapshot's files hold.

    A snapshot's files are hashed at every use: milliseconds, against the loading that it saves, and a path
    that now holds another snapshot can never give the old one's images.
    """

    def __init__(
        self, *, capacity_bytes: int = CAPACITY_BYTES, load: Callable[[Path], Sampler] | None = None
    ) -> None:
        """Keep at most `capacity_bytes` of weights, but always the one used last.

        Args:
            capacity_bytes: limit on the snapshots' file sizes, summed.
            load: how to load a snapshot's folder; by default onto the device of this process.
        """
        self._capacity_bytes = capacity_bytes
        self._load = load or _load_to_default_device
        self._kept: OrderedDict[str, tuple[Sampler, int]] = OrderedDict()

    def get(self, folder: Path) -> Sampler:
        """Return the sampler of the snapshot in `folder`, loading it if need be.

        Raises:
            InvalidCheckpointError: it is damaged or not a snapshot.
        """
        key, size = _identify(folder)
        if key not in self._kept:
            self._kept[key] = (self._load(folder), size)
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self._capacity_bytes:
            self._kept.popitem(last=False)
        return self._kept[key][0]

    def clear(self) -> None:
        """Forget every sampler and give its memory back to the device."""
        self._kept.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __len__(self) -> int:
        return len(self._kept)


def _load_to_default_device(folder: Path) -> Sampler:
    return Sampler.load(folder, device=default_device())


def _identify(folder: Path) -> tuple[str, int]:
    """SHA-256 over the folder's files by name, and their size in bytes."""
    digest, size = hashlib.sha256(), 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
        size += path.stat().st_size
    return digest.hexdigest(), size
