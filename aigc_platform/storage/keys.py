"""Every key layout of the bucket. Keys are made from ids, hashes and numbers of ours, never from user text.

uploads/<dataset>/<upload>                              what a client posted, not yet trusted
datasets/<dataset version>/<sha256>.<suffix>            packed, immutable
jobs/<job>/f<fence>/<role>-<index>-<sha256>.<suffix>    outputs of one attempt; a row makes them visible
checkpoints/<job>/f<fence>/<step>-<sha256>-<name>       training states; they outlive their attempt
models/<model version>/<sha256>.<suffix>                published snapshots
"""

import re
from uuid import UUID

#: Keys may only be deleted in bulk below `<top level>/<id>/`.
TOP_LEVEL_PREFIXES = ("uploads", "datasets", "jobs", "checkpoints", "models")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"[a-z0-9]{1,12}(\.[a-z0-9]{1,12})?")
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(\.[a-z0-9]{1,12}){0,2}")
_DELETABLE = re.compile(
    rf"({'|'.join(TOP_LEVEL_PREFIXES)})/[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}/.*"
)


def upload_key(dataset_id: UUID, upload_id: UUID) -> str:
    return f"{upload_prefix(dataset_id)}{upload_id}"


def upload_prefix(dataset_id: UUID) -> str:
    return f"uploads/{_uuid(dataset_id)}/"


def dataset_key(dataset_version_id: UUID, sha256: str, suffix: str) -> str:
    return f"{dataset_prefix(dataset_version_id)}{_sha256(sha256)}.{_match(_SUFFIX, suffix, 'suffix')}"


def dataset_prefix(dataset_version_id: UUID) -> str:
    return f"datasets/{_uuid(dataset_version_id)}/"


def artifact_key(job_id: UUID, fence: int, role: str, index: int, sha256: str, suffix: str) -> str:
    name = (
        f"{_match(_ROLE, role, 'role')}-{_count(index)}-{_sha256(sha256)}.{_match(_SUFFIX, suffix, 'suffix')}"
    )
    return f"{attempt_prefix(job_id, fence)}{name}"


def attempt_prefix(job_id: UUID, fence: int) -> str:
    """Return the prefix of everything one attempt uploaded; losers' prefixes are garbage."""
    return f"{job_prefix(job_id)}f{_count(fence)}/"


def job_prefix(job_id: UUID) -> str:
    return f"jobs/{_uuid(job_id)}/"


def checkpoint_key(job_id: UUID, fence: int, step: int, sha256: str, name: str) -> str:
    """Return a key that no other checkpoint shares, even for equal bytes: each can be deleted by itself."""
    file = f"{_count(step)}-{_sha256(sha256)}-{_match(_NAME, name, 'name')}"
    return f"{checkpoint_prefix(job_id)}f{_count(fence)}/{file}"


def checkpoint_prefix(job_id: UUID) -> str:
    return f"checkpoints/{_uuid(job_id)}/"


def model_version_key(model_version_id: UUID, sha256: str, suffix: str) -> str:
    return f"{model_version_prefix(model_version_id)}{_sha256(sha256)}.{_match(_SUFFIX, suffix, 'suffix')}"


def model_version_prefix(model_version_id: UUID) -> str:
    return f"models/{_uuid(model_version_id)}/"


def is_deletable_prefix(prefix: str) -> bool:
    """Tell whether `prefix` lies inside one id's own folder, so that no slip can empty the bucket."""
    return _DELETABLE.fullmatch(prefix) is not None


def _uuid(value: UUID) -> str:
    if not isinstance(value, UUID):
        raise TypeError(f"A key is made from a UUID, not from {type(value).__name__}.")
    return str(value)


def _count(value: int) -> int:
    if value < 0:
        raise ValueError(f"A key's number cannot be negative: {value}.")
    return int(value)


def _sha256(value: str) -> str:
    return _match(_SHA256, value, "SHA-256")


def _match(pattern: re.Pattern[str], value: str, what: str) -> str:
    if pattern.fullmatch(value) is None:
        raise ValueError(f"Not usable as the {what} of a key: {value!r}.")
    return value
