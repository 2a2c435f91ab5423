"""Reading every stored byte again: does each row's object exist, and does it hash to what the row says?"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aigc_platform.jobs.models import Artifact, Checkpoint
from aigc_platform.storage.exceptions import ObjectCorruptError, ObjectNotFoundError
from aigc_platform.storage.interface import ObjectStore

_CHUNK_ROWS = 500


@dataclass(frozen=True)
class Difference:
    """One object that is not what its row says."""

    key: str
    row: str
    problem: str


@dataclass(frozen=True)
class Named:
    """One object that a row counts on."""

    key: str
    sha256: str
    row: str
    is_still_named: Callable[[], bool]
    """Asks the row again: a sweep may have taken the object since."""


def named_objects() -> Iterator[Named]:
    """Yield every object that an artifact or a checkpoint counts on; those of deleted jobs are gone on purpose."""
    artifacts = Artifact.objects.filter(job__deletion_requested_at__isnull=True).order_by("pk")
    for artifact in artifacts.iterator(chunk_size=_CHUNK_ROWS):
        asked_again = artifacts.filter(pk=artifact.pk).exists
        yield Named(artifact.key, artifact.sha256, f"artifact {artifact.pk}", asked_again)
    checkpoints = Checkpoint.objects.filter(deleted_at__isnull=True, is_corrupt=False).order_by("pk")
    for checkpoint in checkpoints.iterator(chunk_size=_CHUNK_ROWS):
        asked_again = checkpoints.filter(pk=checkpoint.pk).exists
        for facts in checkpoint.files.values():
            yield Named(facts["key"], facts["sha256"], f"checkpoint {checkpoint.pk}", asked_again)


def differences(store: ObjectStore) -> Iterator[Difference]:
    """Fetch and hash every named object; yield those that are missing or other than their rows say.

    Raises:
        StorageUnavailableError: the store cannot be reached: nothing is known of the rest.
    """
    with tempfile.TemporaryDirectory(prefix="aigc-scrub-") as folder:
        path = Path(folder) / "object"
        for named in named_objects():
            try:
                store.get_file(named.key, path, sha256=named.sha256)
            except ObjectNotFoundError:
                if named.is_still_named():
                    yield Difference(named.key, named.row, "missing")
            except ObjectCorruptError as error:
                yield Difference(named.key, named.row, error.message)
