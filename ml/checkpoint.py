"""Training states and snapshots on disk: safetensors beside JSON, checked by hash, never a pickle.

A *training state* (`state.safetensors`, `state.json`) is all that resume needs; a *snapshot*
(`snapshot.safetensors`, `snapshot.json`) is averaged weights that one can sample from. The JSON file states
the SHA-256 and size of the other, so hashing the JSON pins both.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ml.errors import InvalidCheckpointError
from ml.files import sha256_of_file, write_folder_atomically, write_json
from ml.networks.build import build_generator
from ml.networks.spec import LARGEST_CLASS_COUNT, GeneratorSpec

FORMAT_VERSION = 1
STATE, SNAPSHOT = "state", "snapshot"
_WEIGHT_PREFIXES = ("generator.", "discriminator.", "encoder.", "ema.")
_Document = TypeVar("_Document", bound=BaseModel)


def software_versions() -> dict[str, str]:
    """Versions that can change the result of a computation."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


class HoldoutRecord(BaseModel, frozen=True):
    """Which images training never saw.

    Attributes:
        share: asked for, or that of the data's own test split.
        method: the rule in one line.
        train: images learned from.
        held_out: images never shown.
    """

    share: float = Field(ge=0, lt=1)
    method: str
    train: int = Field(ge=0)
    held_out: int = Field(ge=0)


class SnapshotDocument(BaseModel, extra="allow", frozen=True):
    """The part of `snapshot.json` that sampling needs; the rest is for people and lineage.

    Attributes:
        generator: the architecture.
        classes: class names, empty for an unconditional generator.
        recipe: name of the recipe that trained it.
        config: its settings.
        images_seen: real images it was trained on.
        dataset: name and content hash of the data.
        holdout: which of it training never saw; None for a generator that was not trained by us.
    """

    generator: GeneratorSpec
    classes: tuple[str, ...] = Field(max_length=LARGEST_CLASS_COUNT)
    recipe: str
    config: dict[str, Any]
    images_seen: int = Field(ge=0)
    dataset: dict[str, Any]
    holdout: HoldoutRecord | None = None


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot: generator in eval mode on the CPU, its description, and the hash of its weights."""

    generator: nn.Module
    document: SnapshotDocument
    sha256: str


class StateDocument(BaseModel, frozen=True, strict=True, allow_inf_nan=False):
    """What a training state says beside its tensors.

    Attributes:
        recipe: name of the recipe.
        config: all settings of the run.
        dataset_sha256: content hash of the data.
        images_seen: real images shown.
        seconds: training time.
        precision: fp32 or bf16.
        device: kind of device it was computed on, such as cpu or cuda.
        devices: how many of them shared the work.
        versions: of the software that wrote it.
    """

    recipe: str
    config: dict[str, Any]
    dataset_sha256: str
    images_seen: int = Field(ge=0)
    seconds: float = Field(ge=0)
    precision: Literal["fp32", "bf16"]
    device: str
    devices: int = Field(default=1, ge=1)
    versions: dict[str, str] = Field(default_factory=software_versions)


def save_training_state(folder: Path, tensors: Mapping[str, Tensor], document: StateDocument) -> None:
    """Write a training state; `folder` appears complete or not at all."""
    _save(folder, STATE, dict(tensors), document.model_dump(mode="json"))


def load_training_state(
    folder: Path, expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], StateDocument]:
    """Read a training state whose tensors must have the names, shapes and dtypes of `expected`.

    Raises:
        InvalidCheckpointError: files missing or changed, or tensors that do not fit or are not finite.
    """
    tensors, raw = _load(folder, STATE)
    document = _validated(StateDocument, raw, folder / f"{STATE}.json")
    _check_tensors(tensors, expected, folder)
    return tensors, document


def read_training_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """Recipe name and settings of a training state, without loading its tensors.

    Raises:
        InvalidCheckpointError: there is no training state in the folder.
    """
    document = _read_document(folder / f"{STATE}.json", STATE)
    recipe, config = document.get("recipe"), document.get("config")
    if not isinstance(recipe, str) or not isinstance(config, dict):
        raise InvalidCheckpointError(
            "checkpoint.document", f"{folder}/state.json names no recipe and config."
        )
    return recipe, config


def save_snapshot(folder: Path, generator: nn.Module, document: SnapshotDocument) -> None:
    """Write a generator's weights and how to rebuild it; `folder` appears complete or not at all."""
    weights = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
    details = {"versions": software_versions()}
    _save(folder, SNAPSHOT, weights, details | document.model_dump(mode="json"))


def load_snapshot(folder: Path) -> Snapshot:
    """Rebuild a generator from its snapshot.

    Raises:
        InvalidCheckpointError: files missing or changed, an impossible architecture, or weights that do not
            fit it or are not finite.
    """
    tensors, raw = _load(folder, SNAPSHOT)
    document = _validated(SnapshotDocument, raw, folder / f"{SNAPSHOT}.json")
    spec: GeneratorSpec = document.generator
    if spec.classes != len(document.classes):
        raise InvalidCheckpointError(
            "checkpoint.document",
            f"{folder}/snapshot.json names {len(document.classes)} classes for a generator of {spec.classes}.",
        )
    with torch.random.fork_rng(devices=[]):
        generator = build_generator(spec)
    _check_tensors(tensors, generator.state_dict(), folder)
    generator.load_state_dict(tensors)
    return Snapshot(
        generator.eval().requires_grad_(False), document, raw["files"]["snapshot.safetensors"]["sha256"]
    )


def weights_sha256(folder: Path) -> str:
    """Hash of all network weights in a training state or snapshot, whatever else the file holds.

    Raises:
        InvalidCheckpointError: the folder holds neither, or a damaged one.
    """
    stem = SNAPSHOT if (folder / f"{SNAPSHOT}.json").is_file() else STATE
    tensors, _ = _load(folder, stem)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if stem == SNAPSHOT or name.startswith(_WEIGHT_PREFIXES):
            value = tensors[name]
            digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _save(folder: Path, stem: str, tensors: dict[str, Tensor], details: Mapping[str, Any]) -> None:
    filename = f"{stem}.safetensors"

    def fill(staging: Path) -> None:
        path = staging / filename
        save_file(tensors, path)
        files = {filename: {"sha256": sha256_of_file(path), "size_bytes": path.stat().st_size}}
        document = {**details, "format": FORMAT_VERSION, "kind": stem, "files": files}
        write_json(staging / f"{stem}.json", document)

    write_folder_atomically(folder, fill)


def _load(folder: Path, stem: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    document = _read_document(folder / f"{stem}.json", stem)
    path = folder / f"{stem}.safetensors"
    try:
        stated = document["files"][path.name]["sha256"]
        actual = sha256_of_file(path)
    except (KeyError, TypeError):
        raise InvalidCheckpointError(
            "checkpoint.document", f"{folder}/{stem}.json does not state the hash of {path.name}."
        ) from None
    except OSError:
        raise InvalidCheckpointError("checkpoint.files_missing", f"{path} cannot be read.") from None
    if actual != stated:
        raise InvalidCheckpointError(
            "checkpoint.hash_mismatch", f"{path} is damaged: its SHA-256 is not the one in {stem}.json."
        )
    try:
        return load_file(path), document
    except SafetensorError as error:
        raise InvalidCheckpointError("checkpoint.unreadable", f"{path} is damaged: {error}.") from error


def _read_document(path: Path, kind: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError:
        raise InvalidCheckpointError("checkpoint.files_missing", f"{path} cannot be read.") from None
    except ValueError as error:
        raise InvalidCheckpointError("checkpoint.document", f"{path} is not JSON: {error}.") from None
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise InvalidCheckpointError("checkpoint.document", f"{path} does not describe a {kind}.")
    if document.get("format") != FORMAT_VERSION:
        raise InvalidCheckpointError(
            "checkpoint.document",
            f"{path} has format {document.get('format')!r}; this version reads format {FORMAT_VERSION}.",
        )
    return document


def _validated(kind: type[_Document], raw: dict[str, Any], path: Path) -> _Document:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InvalidCheckpointError("checkpoint.document", f"{path}: {place}: {problem['msg']}.") from error


def _check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path) -> None:
    unknown, missing = sorted(tensors.keys() - expected.keys()), sorted(expected.keys() - tensors.keys())
    if unknown or missing:
        raise InvalidCheckpointError(
            "checkpoint.names", f"{folder}: unknown tensors {unknown[:3]}, missing tensors {missing[:3]}."
        )
    for name, value in tensors.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise InvalidCheckpointError(
                "checkpoint.shape",
                f"{folder}: {name} is {value.dtype} {list(value.shape)}, "
                f"expected {expected[name].dtype} {list(expected[name].shape)}.",
            )
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InvalidCheckpointError("checkpoint.non_finite", f"{folder}: {name} holds NaN or infinity.")
