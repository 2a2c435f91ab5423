"""What the catalog tells users to expect of a recipe is what the benchmark measured, with the defaults of today."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality_table import write_measured
from ml.catalog import RECIPES, measurements_of, parse_config

REPOSITORY = Path(__file__).parents[2]
ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (REPOSITORY / "benchmarks" / "results" / "quality.jsonl").read_text("utf-8").splitlines()
]


def test_the_catalog_repeats_the_benchmark(tmp_path: Path) -> None:
    write_measured(ROWS, tmp_path / "measured.json")
    made = (tmp_path / "measured.json").read_text("utf-8")
    assert (REPOSITORY / "ml" / "catalog" / "measured.json").read_text("utf-8") == made


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_was_measured_with_its_present_defaults(recipe: str) -> None:
    rows = [row for row in ROWS if row["recipe"] == recipe]
    assert rows
    defaults = parse_config(recipe, {}).model_dump(mode="json")
    for row in rows:
        assert row["config"] == {name: defaults[name] for name in row["config"]}, (
            f"{recipe} on {row['dataset']} was measured with other defaults: drop its rows of quality.jsonl and "
            "run benchmarks/quality.py again"
        )


def test_measurements_come_by_data_set_and_time() -> None:
    found = measurements_of("auto")
    assert len(found) > 1
    assert [(each.dataset, each.seconds) for each in found] == sorted(
        (each.dataset, each.seconds) for each in found
    )
    assert all(each.floor < each.frechet_distance for each in found)
    assert measurements_of("gan-2000") == ()
