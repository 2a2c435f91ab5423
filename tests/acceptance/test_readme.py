"""Every line of the README's curl walk-through is run, in order, against a whole stack."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from aigc_platform.settings.env import REPOSITORY_DIR
from ml.codecs.png import read_provenance
from ml.data.builtin import load_builtin
from tests.stack_process import StackProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CLASSES = ("zero", "one", "two")
IMAGES_PER_CLASS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    running = StackProcess(tmp_path_factory.mktemp("readme") / "var")
    running.start()
    yield running
    running.stop()


def walk_through() -> str:
    """Return the bash blocks of the README that follow the walk-through's mark, as one script."""
    text = (REPOSITORY_DIR / "README.md").read_text().split("<!-- walk-through")[1]
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


def make_images(folder: Path) -> None:
    digits = load_builtin("digits")
    assert digits.labels is not None
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for position in (digits.labels == label).nonzero().flatten()[:IMAGES_PER_CLASS]:
            pixels = digits.images[position, 0].numpy()
            Image.fromarray(pixels).save(folder / name / f"{int(position)}.png")


def test_the_walk_through_ends_with_checked_ai_labelled_files(stack: StackProcess) -> None:
    folder = stack.folder.parent
    make_images(folder / "my-images")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", walk_through()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{stack.log()[-4000:]}"
    images = sorted((folder / "generated").glob("*-00000*.png"))
    assert len(images) == 8
    assert done.stdout.count(": OK") >= 8
    for image in images:
        label = read_provenance(image.read_bytes())
        assert label is not None
        assert label.model_version == "mine:1"
