"""Feature networks on disk: one safetensors file that says in its header what the network is.

Weights are stored as fp16, which halves the file; loading widens them again, so the network that scores is
the stored one, never the one that training ended with.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ml.errors import InvalidCheckpointError
from ml.features.classifier import LARGEST_PX, ClassifierSpec, SmallClassifier
from ml.files import sha256_of_file

FORMAT_VERSION = 1
LARGEST_FILE_BYTES = 8 << 20
LARGEST_CLASS_COUNT = 1000
_HEADER_KEY = "feature_network"


class _Spec(BaseModel, extra="forbid", frozen=True):
    px: int = Field(ge=8, le=LARGEST_PX)
    channels: int = Field(ge=1, le=3)
    classes: int = Field(ge=2, le=LARGEST_CLASS_COUNT)
    width: int = Field(ge=4, le=128)


class NetworkDocument(BaseModel, extra="forbid", frozen=True):
    """What a file says about its network.

    Attributes:
        name: for people and reports.
        spec: shape of the network.
        classes: class names, in the order of the logits.
        dataset: name of the data set it learned from.
        dataset_sha256: content hash of that set.
        holdout: share of the set it never saw, by `ml.data.split`; split_seed: the seed of that split.
        images_shown: training budget.
        seed: of the training.
        test_accuracy: on the images it never saw, 0 to 1.
    """

    format: int = FORMAT_VERSION
    name: str = Field(min_length=1, max_length=100)
    spec: _Spec
    classes: tuple[str, ...] = Field(min_length=2, max_length=LARGEST_CLASS_COUNT)
    dataset: str
    dataset_sha256: str
    holdout: float = Field(ge=0, lt=1)
    split_seed: int
    images_shown: int = Field(ge=1)
    seed: int
    test_accuracy: float = Field(ge=0, le=1)


def describe(network: SmallClassifier, **facts: Any) -> NetworkDocument:
    """The document of a network; `facts` are the fields that the network itself does not know."""
    return NetworkDocument(spec=_Spec(**asdict(network.spec)), **facts)


def half_precision(network: SmallClassifier) -> dict[str, Tensor]:
    """The network's weights as they are stored."""
    weights = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    return {name: value.half().contiguous() for name, value in weights.items()}


def load_weights(network: SmallClassifier, weights: dict[str, Tensor]) -> None:
    """Put stored weights into a network of their shape."""
    expected = network.state_dict()
    counters = {name: value for name, value in expected.items() if not value.is_floating_point()}
    network.load_state_dict({**{name: value.float() for name, value in weights.items()}, **counters})


def save_network(path: Path, network: SmallClassifier, document: NetworkDocument) -> str:
    """Write a network and return the file's SHA-256."""
    header = {_HEADER_KEY: json.dumps(document.model_dump(mode="json"), sort_keys=True)}
    save_file(half_precision(network), path, metadata=header)
    return sha256_of_file(path)


def load_network(
    path: Path, *, expected_sha256: str | None = None
) -> tuple[SmallClassifier, NetworkDocument, str]:
    """Read a network, its description and the file's SHA-256.

    Args:
        path: a file that `save_network` wrote.
        expected_sha256: refuse any other file.

    Raises:
        InvalidCheckpointError: no such file, or not what it should be.
    """
    if not path.is_file() or path.stat().st_size > LARGEST_FILE_BYTES:
        raise InvalidCheckpointError(
            "features.file", f"{path} is not a file of at most {LARGEST_FILE_BYTES >> 20} MiB."
        )
    sha256 = sha256_of_file(path)
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise InvalidCheckpointError(
            "features.hash_mismatch",
            f"{path} is not the feature network that this version ships: its SHA-256 differs. Reinstall.",
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER_KEY, "null"))
            document = NetworkDocument.model_validate(header)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, ValueError, ValidationError) as error:
        raise InvalidCheckpointError(
            "features.unreadable", f"{path} is not a feature network: {error}."
        ) from error
    network = SmallClassifier(ClassifierSpec(**document.spec.model_dump()))
    _check_weights(network, weights, document, path)
    load_weights(network, weights)
    return network.eval().requires_grad_(requires_grad=False), document, sha256


def _check_weights(
    network: SmallClassifier, weights: dict[str, Tensor], document: NetworkDocument, path: Path
) -> None:
    expected = half_precision(network)
    problem = None
    if document.format != FORMAT_VERSION:
        problem = f"it has format {document.format}, this version reads {FORMAT_VERSION}"
    elif len(document.classes) != document.spec.classes:
        problem = "its class names do not match its network"
    elif weights.keys() != expected.keys():
        problem = f"tensors {sorted(weights.keys() ^ expected.keys())[:3]} are missing or unknown"
    elif any(weights[name].shape != expected[name].shape for name in weights):
        problem = "a tensor has another shape than its network needs"
    elif any(weights[name].dtype != torch.float16 for name in weights):
        problem = "its tensors are not fp16"
    elif not all(bool(value.isfinite().all()) for value in weights.values()):
        problem = "it holds NaN or infinity"
    if problem is not None:
        raise InvalidCheckpointError("features.unreadable", f"{path} cannot be used: {problem}.")
