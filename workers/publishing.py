"""Getting a runner's files into the store, beside the work: hash, upload under a key that carries the fence."""

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog

from aigc_platform.common import failpoints
from aigc_platform.common.exceptions import UnavailableError
from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.finishing import StoredCheckpoint, StoredFile
from aigc_platform.storage import keys
from aigc_platform.storage.interface import ObjectStore
from workers.bell import Bell
from workers.runner.protocol import ArtifactReady, CheckpointReady
from workers.workspace import Workspace

log = structlog.get_logger(__name__)

_UPLOAD_THREADS = 8
_MAX_PAUSE_SECONDS = 15.0
_MEDIA_TYPE = "application/octet-stream"
_SUFFIXES = {
    "image/png": "png",
    "image/webp": "webp",
    "application/zip": "zip",
    "application/json": "json",
    "application/jsonl": "jsonl",
    "application/vnd.safetensors": "safetensors",
    "text/plain": "txt",
    "text/markdown": "md",
}


_Stored = TypeVar("_Stored")


class UploadAbandonedError(Exception):
    """The attempt was given up while its files were still on their way."""


class Publisher:
    """Uploads for all attempts of this worker. Waits and tries again while the store is away.

    Args:
        bell: rung at the end of each upload.
    """

    def __init__(self, store: ObjectStore, bell: Bell) -> None:
        self._store = store
        self._bell = bell
        self._pool = ThreadPoolExecutor(_UPLOAD_THREADS, thread_name_prefix="upload")

    def upload_artifact(
        self, claim: Claim, workspace: Workspace, artifact: ArtifactReady, abandoned: threading.Event
    ) -> "Future[StoredFile]":
        """Start uploading one output. The path is checked now, in the caller's thread.

        Raises:
            UnsafePathError: the runner named something that is not a file of its own.
        """
        path = workspace.file(artifact.path)
        return self._announced(self._pool.submit(self._put_artifact, claim, path, artifact, abandoned))

    def upload_checkpoint(
        self, claim: Claim, workspace: Workspace, checkpoint: CheckpointReady, abandoned: threading.Event
    ) -> "Future[StoredCheckpoint]":
        """Start uploading one training state. Raises as `upload_artifact`."""
        folder = workspace.folder(checkpoint.folder)
        files = [workspace.file(f"{checkpoint.folder}/{path.name}") for path in sorted(folder.iterdir())]
        return self._announced(self._pool.submit(self._put_checkpoint, claim, files, checkpoint, abandoned))

    def store_log(self, claim: Claim, name: str, text: str) -> StoredFile:
        """Store a text of this attempt now, in the caller's thread.

        Raises:
            StorageError: the store is away or refuses; nothing waits for it.
        """
        data = text.encode(errors="replace")
        sha256 = hashlib.sha256(data).hexdigest()
        index, filename = claim.attempt.number, f"{name}-attempt-{claim.attempt.number}.txt"
        key = keys.artifact_key(claim.job.pk, claim.fence, "log", index, sha256, "txt")
        self._store.put_bytes(key, data, media_type="text/plain", filename=filename)
        return StoredFile(
            role="log",
            index=index,
            key=key,
            sha256=sha256,
            size=len(data),
            media_type="text/plain",
            filename=filename,
        )

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _announced(self, upload: "Future[_Stored]") -> "Future[_Stored]":
        upload.add_done_callback(lambda _: self._bell.ring())
        return upload

    def _put_artifact(
        self, claim: Claim, path: Path, artifact: ArtifactReady, abandoned: threading.Event
    ) -> StoredFile:
        sha256 = hash_file(path)
        suffix = _SUFFIXES.get(artifact.media_type, "bin")
        key = keys.artifact_key(claim.job.pk, claim.fence, artifact.role, artifact.index, sha256, suffix)
        stored = StoredFile(
            role=artifact.role,
            index=artifact.index,
            key=key,
            sha256=sha256,
            size=path.stat().st_size,
            media_type=artifact.media_type,
            filename=artifact.filename,
            metadata=artifact.metadata,
        )
        self._patiently(
            lambda: self._store.put_file(
                key, path, sha256=sha256, media_type=artifact.media_type, filename=artifact.filename
            ),
            abandoned,
        )
        path.unlink()
        return stored

    def _put_checkpoint(
        self, claim: Claim, files: list[Path], checkpoint: CheckpointReady, abandoned: threading.Event
    ) -> StoredCheckpoint:
        stored: dict[str, dict[str, Any]] = {}
        for path in files:
            sha256 = hash_file(path)
            key = keys.checkpoint_key(claim.job.pk, claim.fence, checkpoint.step, sha256, path.name)
            stored[path.name] = {"key": key, "sha256": sha256, "size": path.stat().st_size}
            failpoints.reach("checkpoint.uploading")
            self._put_part(key, path, sha256, abandoned)
        manifest = json.dumps(stored, sort_keys=True, separators=(",", ":")).encode()
        return StoredCheckpoint(
            step=checkpoint.step,
            files=stored,
            manifest_sha256=hashlib.sha256(manifest).hexdigest(),
            size=sum(facts["size"] for facts in stored.values()),
            is_best=checkpoint.is_best,
            stall_ms=checkpoint.stall_ms,
        )

    def _put_part(self, key: str, path: Path, sha256: str, abandoned: threading.Event) -> None:
        self._patiently(
            lambda: self._store.put_file(key, path, sha256=sha256, media_type=_MEDIA_TYPE), abandoned
        )

    def _patiently(self, put: Callable[[], None], abandoned: threading.Event) -> None:
        """Call `put` until it succeeds: an absent store delays a result and loses nothing."""
        pause = 0.5
        while not abandoned.is_set():
            try:
                put()
            except UnavailableError as error:
                log.warning("store_unreachable", error=error.message, pause_seconds=pause)
                abandoned.wait(pause)
                pause = min(_MAX_PAUSE_SECONDS, pause * 2)
            else:
                return
        raise UploadAbandonedError


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
