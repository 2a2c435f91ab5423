"""What a generation does with little memory: the same images, one pass at a time."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ml.sample import FORWARD_BATCH, SampleItem, Sampler
from tests.unit.workers.runner.conftest import Line
from workers.runner.generation import GenerationHandler
from workers.runner.protocol import ArtifactReady, Failed, Finished, JobItem, Message, Start
from workers.runner.samplers import SamplerCache

_COUNT = 2 * FORWARD_BATCH + 3


class _Generator(torch.nn.Module):
    """Noise as grey images of 8 px."""

    def forward(self, z: torch.Tensor, _labels: torch.Tensor | None) -> torch.Tensor:
        return torch.tanh(z).reshape(-1, 1, 8, 8)


class _TightSampler(Sampler):
    """As on a device that holds the images of one pass, and of no more."""

    def sample(self, items: Sequence[SampleItem]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        if len(items) > FORWARD_BATCH:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().sample(items)


def _load(kind: type[Sampler]) -> Sampler:
    return kind(_Generator(), latent_size=64, px=8, image_channels=1, classes=())


@pytest.fixture
def snapshots(tmp_path: Path) -> list[Path]:
    """Two folders whose files differ."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        (folder / "snapshot.safetensors").write_text(folder.name)
    return folders


def _run(line: Line, handler: GenerationHandler, folder: Path, snapshot: Path, **spec: bool) -> list[Message]:
    folder.mkdir()
    item = JobItem(
        job_id="job-1",
        attempt=1,
        workspace=str(folder),
        spec={"count": _COUNT, "seed": 5, **spec},
        inputs={"snapshot": str(snapshot)},
    )
    line.say(Start(items=[item]))
    started = line.channel.next_start()
    assert started is not None
    handler.run(started, line.channel)
    messages = [line.heard()]
    while not isinstance(messages[-1], Finished | Failed):
        messages.append(line.heard())
    return messages


def test_a_lean_generation_makes_the_same_images_where_the_usual_one_finds_no_memory(
    line: Line, tmp_path: Path, snapshots: list[Path]
) -> None:
    cache = SamplerCache(load=lambda _folder: _load(_TightSampler))
    handler = GenerationHandler(cache)
    for number, snapshot in enumerate(snapshots):
        [*_, failed] = _run(line, handler, tmp_path / f"usual-{number}", snapshot)
        assert isinstance(failed, Failed)
        assert failed.reason == "out_of_memory"
    assert len(cache) == 2

    messages = _run(line, handler, tmp_path / "lean", snapshots[0], lean=True)

    assert isinstance(messages[-1], Finished)
    assert len(cache) == 1, "what other jobs left was forgotten first"
    expected = dict(_load(Sampler).sample([SampleItem(5, index) for index in range(_COUNT)]))
    made = {
        message.index: (tmp_path / "lean" / message.path).read_bytes()
        for message in messages
        if isinstance(message, ArtifactReady) and message.role == "image"
    }
    assert made.keys() == expected.keys()
    for index, png in made.items():
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), expected[index][:, :, 0])
