"""Training states and snapshots on disk: they come back, and every kind of damage is refused with a code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ml.checkpoint import (
    SnapshotDocument,
    StateDocument,
    load_snapshot,
    load_training_state,
    read_training_config,
    save_snapshot,
    save_training_state,
    weights_sha256,
)
from ml.errors import InvalidCheckpointError
from ml.files import sha256_of_file, write_folder_atomically
from ml.networks.build import build_generator
from ml.networks.spec import DcganGeneratorSpec

SPEC = DcganGeneratorSpec(px=8, image_channels=1, classes=2, latent_size=4, channels=4)
TENSORS = {
    "generator.weight": torch.arange(6.0).reshape(2, 3),
    "sampler.position": torch.tensor(3),
    "rng.noise": torch.arange(5, dtype=torch.uint8),
}
DOCUMENT = StateDocument(
    recipe="dcgan",
    config={"kimg": 1.0},
    dataset_sha256="0" * 64,
    images_seen=8,
    seconds=1.5,
    precision="fp32",
    device="cpu",
)


@pytest.fixture
def state_folder(tmp_path: Path) -> Path:
    save_training_state(tmp_path / "state", TENSORS, DOCUMENT)
    return tmp_path / "state"


@pytest.fixture
def snapshot_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    document = SnapshotDocument(
        generator=SPEC, classes=("a", "b"), recipe="dcgan", config={}, images_seen=8, dataset={}
    )
    save_snapshot(tmp_path / "snapshot", build_generator(SPEC), document)
    return tmp_path / "snapshot"


def rewrite(folder: Path, stem: str, edit: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors and state the new hash, as somebody who knows the format could."""
    path = folder / f"{stem}.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    edit_document(
        folder, stem, lambda document: document["files"][path.name].update(sha256=sha256_of_file(path))
    )


def edit_document(folder: Path, stem: str, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / f"{stem}.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def refused(code: str, load: Callable[[], object]) -> None:
    with pytest.raises(InvalidCheckpointError) as caught:
        load()
    assert caught.value.code == code


def test_training_state_comes_back(state_folder: Path) -> None:
    tensors, document = load_training_state(state_folder, TENSORS)
    assert document == DOCUMENT
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    assert read_training_config(state_folder) == ("dcgan", {"kimg": 1.0})


def test_snapshot_comes_back_ready_to_sample(snapshot_folder: Path) -> None:
    snapshot = load_snapshot(snapshot_folder)
    assert snapshot.document.generator == SPEC
    assert snapshot.document.classes == ("a", "b")
    assert not snapshot.generator.training
    assert not any(parameter.requires_grad for parameter in snapshot.generator.parameters())
    assert snapshot.sha256 == sha256_of_file(snapshot_folder / "snapshot.safetensors")


def test_weights_hash_sees_weights_only(state_folder: Path, tmp_path: Path) -> None:
    original = weights_sha256(state_folder)
    rewrite(state_folder, "state", lambda tensors: tensors["rng.noise"].add_(1))
    assert weights_sha256(state_folder) == original
    rewrite(state_folder, "state", lambda tensors: tensors["generator.weight"].add_(1))
    assert weights_sha256(state_folder) != original


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_missing_file(state_folder: Path, name: str) -> None:
    (state_folder / name).unlink()
    refused("checkpoint.files_missing", lambda: load_training_state(state_folder, TENSORS))


def test_flipped_bit(state_folder: Path) -> None:
    path = state_folder / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused("checkpoint.hash_mismatch", lambda: load_training_state(state_folder, TENSORS))
    refused("checkpoint.hash_mismatch", lambda: weights_sha256(state_folder))


def test_file_that_is_no_safetensors(state_folder: Path) -> None:
    path = state_folder / "state.safetensors"
    path.write_bytes(b"\x80\x04pickle")
    edit_document(state_folder, "state", lambda d: d["files"][path.name].update(sha256=sha256_of_file(path)))
    refused("checkpoint.unreadable", lambda: load_training_state(state_folder, TENSORS))


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda t: t.pop("rng.noise"), "checkpoint.names"),
        (lambda t: t.update(extra=torch.zeros(1)), "checkpoint.names"),
        (lambda t: t.update({"generator.weight": torch.zeros(3, 2)}), "checkpoint.shape"),
        (lambda t: t.update({"generator.weight": torch.zeros(2, 3).half()}), "checkpoint.shape"),
        (lambda t: t["generator.weight"].fill_(float("nan")), "checkpoint.non_finite"),
        (lambda t: t["generator.weight"].fill_(float("inf")), "checkpoint.non_finite"),
    ],
)
def test_tensors_that_do_not_fit(
    state_folder: Path, edit: Callable[[dict[str, Tensor]], object], code: str
) -> None:
    rewrite(state_folder, "state", edit)
    refused(code, lambda: load_training_state(state_folder, TENSORS))


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(format=2),
        lambda d: d.update(kind="snapshot"),
        lambda d: d.pop("files"),
        lambda d: d.update(files=[]),
        lambda d: d.pop("precision"),
    ],
)
def test_state_document_that_is_wrong(state_folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    edit_document(state_folder, "state", edit)
    refused("checkpoint.document", lambda: load_training_state(state_folder, TENSORS))


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_document_that_is_no_object(state_folder: Path, text: str) -> None:
    (state_folder / "state.json").write_text(text)
    refused("checkpoint.document", lambda: read_training_config(state_folder))


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["generator"].update(network="os.system"),
        lambda d: d["generator"].update(channels=10**9),
        lambda d: d["generator"].update(px=4096),
        lambda d: d["generator"].update(depth=3),
        lambda d: d.update(classes=["a"]),
        lambda d: d.update(classes="ab"),
        lambda d: d.pop("generator"),
    ],
)
def test_impossible_snapshots(snapshot_folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    edit_document(snapshot_folder, "snapshot", edit)
    refused("checkpoint.document", lambda: load_snapshot(snapshot_folder))


def test_weights_of_another_architecture(snapshot_folder: Path) -> None:
    edit_document(snapshot_folder, "snapshot", lambda d: d["generator"].update(latent_size=8))
    refused("checkpoint.shape", lambda: load_snapshot(snapshot_folder))


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_folder_atomically(tmp_path / "deep" / "out", fail)
    assert list((tmp_path / "deep").iterdir()) == []


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder_atomically(out, lambda folder: (folder / "old").touch())
    write_folder_atomically(out, lambda folder: (folder / "new").touch())
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
