"""Scratch folders: one per attempt for what the runner writes, one shared cache of inputs.

Nothing a runner names is trusted: a path counts only if it is a regular file inside the attempt's own folder.
"""

import hashlib
import os
import shutil
from pathlib import Path
from uuid import UUID

from aigc_platform.jobs.kinds import InputFile, RunnerInput
from aigc_platform.storage.interface import ObjectStore

_CACHE_LIMIT_BYTES = 20 * 1024**3


class UnsafePathError(Exception):
    """The runner named a file outside its workspace, a link, or nothing at all."""


class Workspace:
    """The folder of one attempt. Wiped before the attempt and after it."""

    def __init__(self, root: Path, job_id: UUID, fence: int) -> None:
        self.path = root / "jobs" / str(job_id) / f"f{fence}"

    def create(self) -> None:
        self.remove()
        self.path.mkdir(parents=True, mode=0o700)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, relative: str) -> Path:
        """Return the regular file that the runner names.

        Raises:
            UnsafePathError: it is absolute, leads outside, is or lies behind a link, or does not exist.
        """
        path = self._inside(relative)
        if not path.is_file():
            raise UnsafePathError(f"{relative!r} is not a file of this attempt")
        return path

    def folder(self, relative: str) -> Path:
        """Return the folder that the runner names. Raises as `file`."""
        path = self._inside(relative)
        if not path.is_dir():
            raise UnsafePathError(f"{relative!r} is not a folder of this attempt")
        return path

    def _inside(self, relative: str) -> Path:
        path = self.path / relative
        # Equal only if no component is a link or "..".
        if (
            Path(relative).is_absolute()
            or Path(os.path.realpath(path)) != Path(os.path.realpath(self.path)) / relative
        ):
            raise UnsafePathError(f"{relative!r} leads outside the attempt's folder")
        return path


class InputCache:
    """Fetched inputs, by content: the next job with the same data set or model finds them here."""

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self._root = root / "inputs"
        self._store = store

    def fetch(self, wanted: RunnerInput) -> Path:
        """Return the local folder (or single file) of an input, fetching what is missing.

        Raises:
            ObjectNotFoundError, ObjectCorruptError, StorageError: as the store.
        """
        folder = self._root / _digest(wanted)
        folder.mkdir(parents=True, exist_ok=True)
        for file in wanted.files:
            path = folder / file.name
            if not path.exists():
                self._make_room(file.size)
                self._store.get_file(file.key, path, sha256=file.sha256)
        os.utime(folder)
        return folder / wanted.files[0].name if wanted.single else folder

    def _make_room(self, size: int) -> None:
        folders = sorted(
            (path for path in self._root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        used = {folder: _size(folder) for folder in folders}
        # The newest is the one being filled.
        for folder in folders[:-1]:
            if sum(used.values()) + size <= _CACHE_LIMIT_BYTES:
                return
            shutil.rmtree(folder, ignore_errors=True)
            del used[folder]


def _digest(wanted: RunnerInput) -> str:
    parts = [f"{file.name}\0{file.sha256 or ''}\0{file.key}" for file in wanted.files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def checkpoint_input(files: dict[str, dict[str, object]]) -> RunnerInput:
    """Describe a committed checkpoint's files as an input to fetch."""
    return RunnerInput(
        name="resume",
        files=tuple(
            InputFile(
                name=name, key=str(facts["key"]), sha256=str(facts["sha256"]), size=int(str(facts["size"]))
            )
            for name, facts in sorted(files.items())
        ),
    )
