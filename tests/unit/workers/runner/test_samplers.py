from pathlib import Path

import pytest
import torch

from ml.sample import Sampler
from workers.runner.samplers import SamplerCache


class Loader:
    """Makes a sampler of any folder and counts."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, folder: Path) -> Sampler:
        self.loaded.append(folder.name)
        return Sampler(torch.nn.Identity(), latent_size=2, px=8, image_channels=1, classes=())


def snapshot(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    (folder / "snapshot.safetensors").write_bytes(content)
    return folder


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_the_same_content_is_loaded_once_wherever_it_lies(loader: Loader, tmp_path: Path) -> None:
    cache = SamplerCache(load=loader)
    first = cache.get(snapshot(tmp_path / "a", b"weights"))
    assert cache.get(tmp_path / "a") is first
    assert cache.get(snapshot(tmp_path / "b", b"weights")) is first
    assert loader.loaded == ["a"]


def test_changed_content_is_loaded_anew(loader: Loader, tmp_path: Path) -> None:
    cache = SamplerCache(load=loader)
    folder = snapshot(tmp_path / "a", b"weights")
    first = cache.get(folder)
    (folder / "snapshot.safetensors").write_bytes(b"weighty")
    assert cache.get(folder) is not first


def test_the_one_not_used_for_longest_goes_first(loader: Loader, tmp_path: Path) -> None:
    cache = SamplerCache(capacity_bytes=20, load=loader)
    for name in "ab":
        cache.get(snapshot(tmp_path / name, name.encode() * 10))
    cache.get(tmp_path / "a")
    cache.get(snapshot(tmp_path / "c", b"c" * 10))
    assert len(cache) == 2
    cache.get(tmp_path / "a")
    assert loader.loaded == ["a", "b", "c"]
    cache.get(tmp_path / "b")
    assert loader.loaded == ["a", "b", "c", "b"]


def test_one_larger_than_the_cache_is_kept_while_it_is_in_use(loader: Loader, tmp_path: Path) -> None:
    cache = SamplerCache(capacity_bytes=1, load=loader)
    large = cache.get(snapshot(tmp_path / "large", b"x" * 100))
    assert cache.get(tmp_path / "large") is large
    cache.get(snapshot(tmp_path / "next", b"y"))
    assert len(cache) == 1
