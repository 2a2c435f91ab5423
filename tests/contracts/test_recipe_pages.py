"""The recipe pages say what the catalog says, and show runs that were made."""

import json
from pathlib import Path

import pytest

from benchmarks.recipe_tables import FAMILIES, PAGES, REPOSITORY, RUNS, pages, with_generated_parts
from ml.catalog import RECIPES, parse_config
from ml.codecs.png import read_provenance

PICTURES = REPOSITORY / "docs" / "images" / "recipes"
LARGEST_BYTES = 60_000


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_generated_parts_are_those_of_the_catalog(path: Path) -> None:
    assert path.read_text("utf-8") == with_generated_parts(path), (
        "the catalog changed: run python -m benchmarks.recipe_tables"
    )


def test_every_recipe_has_one_page_that_says_when_to_take_it() -> None:
    assert sorted(name for names in FAMILIES.values() for name in names) == sorted(RECIPES)
    assert {path.stem for path in PAGES.glob("*.md")} == set(FAMILIES)
    for family, names in FAMILIES.items():
        text = (PAGES / f"{family}.md").read_text("utf-8")
        assert "**Take" in text
        assert "**Not" in text
        assert all(f"`{name}`" in text.splitlines()[0] for name in names)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_pictured_run_is_small_labelled_and_told(recipe: str) -> None:
    picture = (PICTURES / f"{recipe}.png").read_bytes()
    assert len(picture) <= LARGEST_BYTES
    label = read_provenance(picture)
    assert label is not None
    assert "trainedAlgorithmicMedia" in label.digital_source_type
    run = json.loads(RUNS.read_text("utf-8"))["runs"][recipe]
    assert f"--recipe {recipe} " in run["command"]
    kimg = float(run["command"].split()[-1])
    batch = parse_config(recipe, {}).batch_size
    assert kimg * 1000 <= run["images_seen"] < kimg * 1000 + batch
    assert all(figure["floor"] is not None for figure in run["figures"].values())
