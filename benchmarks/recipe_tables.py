"""The generated parts of the recipe pages: tables of defaults from the catalog, and what the pictured runs were.

`python -m benchmarks.recipe_tables` rewrites everything between the marks in docs/reference/recipes*; a test holds
the pages to it. The runs themselves are made by `benchmarks.recipe_pages`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml.catalog import RECIPES, Recipe

REPOSITORY = Path(__file__).parents[1]
PAGES = REPOSITORY / "docs" / "reference" / "recipes"
INDEX = REPOSITORY / "docs" / "reference" / "recipes.md"
RUNS = REPOSITORY / "benchmarks" / "results" / "recipe_runs.json"
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "cross-entropy": ("mlp-gan", "dcgan"),
    "classes": ("cgan", "acgan"),
    "least-squares": ("lsgan",),
    "wasserstein": ("wgan", "wgan-gp"),
    "dragan": ("dragan",),
    "hinge": ("sngan",),
    "relativistic": ("rpgan",),
    "few-shot": ("few-shot",),
    "autoencoders": ("vae", "vae-gan"),
    "auto": ("auto",),
}
_PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write_all() -> None:
    """Rewrite the generated parts of every page."""
    for path in pages():
        path.write_text(with_generated_parts(path), encoding="utf-8")


def pages() -> list[Path]:
    """The index, and the page of each family."""
    return [INDEX, *(PAGES / f"{family}.md" for family in FAMILIES)]


def with_generated_parts(path: Path) -> str:
    """The text of a page as it should be.

    Raises:
        KeyError: a mark names a part that there is none of.
    """
    makers = {
        "defaults": lambda: defaults_table(FAMILIES[path.stem]),
        "runs": lambda: runs_text(FAMILIES[path.stem]),
        "common": common_table,
        "families": families_table,
    }

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n{makers[found[2]]()}\n\n{found[3]}"

    return _PART.sub(fill, path.read_text("utf-8"))


def defaults_table(recipes: Sequence[str]) -> str:
    """What these recipes set that not all recipes share."""
    shared = common_settings()
    settings = _settings(RECIPES[name] for name in recipes)
    rows = [
        (f"`{setting}`", *(_default(RECIPES[name], setting) for name in recipes), _unit(field))
        for setting, field in settings.items()
        if setting not in shared
    ]
    if not rows:
        return "It has the settings that all recipes share, and no others: what it chooses keeps its own defaults."
    return _table(("setting", *(f"`{name}`" for name in recipes), "unit"), rows)


def common_table() -> str:
    """What every recipe that has the setting sets alike."""
    shared = common_settings()
    return _table(
        ("setting", "default", "unit", "what it does"),
        [
            (f"`{setting}`", _value(field.default), _unit(field), str(field.description))
            for setting, field in _settings(RECIPES.values()).items()
            if setting in shared
        ],
    )


def families_table() -> str:
    """One line for each recipe, with its page."""
    page_of = {recipe: family for family, recipes in FAMILIES.items() for recipe in recipes}
    return _table(
        ("recipe", "what it is", "paper"),
        [
            (f"[`{recipe.name}`](recipes/{page_of[recipe.name]}.md)", recipe.summary, recipe.paper)
            for recipe in RECIPES.values()
        ],
    )


def common_settings() -> set[str]:
    """Settings that no two recipes differ in."""
    values: dict[str, set[str]] = {}
    for recipe in RECIPES.values():
        for setting, field in recipe.config_type.model_fields.items():
            values.setdefault(setting, set()).add(_value(field.default))
    return {setting for setting, found in values.items() if len(found) == 1}


def runs_text(recipes: Iterable[str]) -> str:
    """The pictured runs: command, budget, time, machine, figures."""
    runs = json.loads(RUNS.read_text("utf-8"))
    return "\n\n".join(_run_text(name, runs["runs"][name], runs["machine"]) for name in recipes)


def _run_text(name: str, run: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    distance, coverage = run["figures"]["frechet_distance"], run["figures"]["coverage"]
    chosen = f" It took `{run['recipe']}`: {run['reason']}" if run.get("reason") else ""
    return (
        f"![Loss while training and samples of {name}](../../images/recipes/{name}.png)\n\n"
        f"`{run['command']}`, seed {run['seed']}: {run['images_seen']:,} images shown in {run['seconds']:,.0f} s "
        f"({run['precision']}) on {machine['processors']} cores shared with other work (load {run['load']:.0f}), "
        f"torch {machine['torch']}.{chosen} Fréchet distance {distance['value']:.3g} over a floor of "
        f"{distance['floor']:.3g}, coverage {coverage['value']:.2f} under {coverage['floor']:.2f}, n = {run['n']}. "
        "One class a column."
    )


def _settings(recipes: Iterable[Recipe]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for recipe in recipes:
        found |= {name: field for name, field in recipe.config_type.model_fields.items() if name not in found}
    return found


def _default(recipe: Recipe, setting: str) -> str:
    field = recipe.config_type.model_fields.get(setting)
    return "" if field is None else _value(field.default)


def _value(default: object) -> str:
    return json.dumps(default).strip('"')


def _unit(field: Any) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


if __name__ == "__main__":
    write_all()
