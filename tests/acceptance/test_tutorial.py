"""Every line of the tutorial is run, in order: `ml` alone, then a whole stack, and both give the same weights."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aigc_platform.settings.env import REPOSITORY_DIR
from ml.codecs.png import read_provenance
from tests.stack_process import StackProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TUTORIAL = REPOSITORY_DIR / "docs" / "tutorials" / "from-ml-to-platform.md"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    running = StackProcess(tmp_path_factory.mktemp("tutorial") / "var")
    try:
        running.start(seconds=200)
        yield running
    finally:
        running.stop()


def walk_through() -> str:
    """Return the bash blocks that follow the tutorial's mark, as one script."""
    text = TUTORIAL.read_text().split("<!-- walk-through")[1]
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


def values_of(card: dict[str, Any]) -> dict[str, float]:
    """Return the measured figures by name."""
    return {name: figure["value"] for name, figure in card["figures"]["values"].items()}


def test_the_tutorial_ends_with_the_same_weights_twice(stack: StackProcess) -> None:
    folder = stack.folder.parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", walk_through()],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{stack.log()[-4000:]}"

    version = json.loads((folder / "version.json").read_text())
    local = json.loads((folder / "run" / "model_card.json").read_text())
    assert version["card"]["snapshot_sha256"] == local["snapshot_sha256"]
    # The sums behind the figures may round differently with another number of threads.
    assert values_of(version["card"]) == pytest.approx(values_of(local), rel=1e-3, abs=1e-4)
    assert local["licence"]["weights"] == "CC0-1.0"
    assert local["training"]["images_seen"] == 4000
    assert "## Limits" in (folder / "MODEL_CARD.md").read_text()
    with Image.open(folder / "model_card.png") as card:
        assert card.size[0] == 1200
    images = sorted((folder / "samples").glob("*.png"))
    assert len(images) == 20
    assert all(read_provenance(image.read_bytes()) for image in images)
    assert json.loads((folder / "report.json").read_text())["n"] == 100
