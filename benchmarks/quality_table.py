"""Tables of `benchmarks/quality.py` as Markdown: mean and spread over seeds, floors beside them."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ml.catalog import Measurement

COLUMNS = (
    ("kernel_distance", "KID × 10³", 1000.0),
    ("precision", "precision", 1.0),
    ("recall", "recall", 1.0),
    ("density", "density", 1.0),
    ("coverage", "coverage", 1.0),
    ("rarest_class", "rarest class ÷ fair share", 1.0),
    ("label_accuracy", "label accuracy", 1.0),
    ("within_class_spread", "spread within a class ÷ real", 1.0),
)
Row = Mapping[str, Any]


def write_tables(rows: Sequence[Row], results: Path) -> None:
    """Write `quality.md`: the method's page as it is in `quality_method.md`, then a table for each data set."""
    method = results / "quality_method.md"
    parts = [method.read_text("utf-8").rstrip() if method.is_file() else "# Quality"]
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        parts += [f"## {dataset}", _table([row for row in rows if row["dataset"] == dataset])]
    (results / "quality.md").write_text("\n\n".join(parts) + "\n", "utf-8")


def write_measured(rows: Sequence[Row], path: Path) -> None:
    """Write what the catalog tells users to expect, see `ml.catalog.measured`."""
    groups: dict[tuple[str, str, float], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["recipe"], row["dataset"], row["seconds"])):
        groups.setdefault((row["recipe"], row["dataset"], row["seconds"]), []).append(row)
    measured: dict[str, list[dict[str, Any]]] = {}
    for (recipe, dataset, seconds), group in groups.items():
        accuracies = _values(group, "label_accuracy")
        found = Measurement(
            dataset=dataset,
            seconds=seconds,
            kimg=group[0]["kimg"],
            seeds=len(group),
            n=group[0]["n"],
            frechet_distance=round(_mean_of(group, "frechet_distance"), 3),
            floor=round(group[0]["figures"]["frechet_distance"]["floor"], 3),
            label_accuracy=round(statistics.mean(accuracies), 3) if accuracies else None,
        )
        measured.setdefault(recipe, []).append(asdict(found))
    path.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")


def _table(rows: Sequence[Row]) -> str:
    names = ["recipe", "time", "images", "seeds", "FD", "FD ÷ floor", *(title for _, title, _ in COLUMNS)]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|", _floor_line(rows)]
    groups: dict[tuple[float, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["seconds"], row["recipe"]), []).append(row)
    ordered = sorted(
        groups.values(), key=lambda group: (group[0]["seconds"], _mean_of(group, "frechet_distance"))
    )
    lines += [_line(group) for group in ordered]
    return "\n".join(lines) + "\n\n" + _terms(rows)


def _line(group: Sequence[Row]) -> str:
    first = group[0]
    ratios = [
        row["figures"]["frechet_distance"]["value"] / row["figures"]["frechet_distance"]["floor"]
        for row in group
    ]
    cells = [
        f"`{first['recipe']}`",
        f"{first['seconds']:g} s",
        f"{first['kimg']:,.0f} k",
        str(len(group)),
        _with_spread(_values(group, "frechet_distance")),
        _with_spread(ratios),
        *(_with_spread([value * factor for value in _values(group, name)]) for name, _, factor in COLUMNS),
    ]
    return "| " + " | ".join(cells) + " |"


def _floor_line(rows: Sequence[Row]) -> str:
    cells = ["*floor: real images*", "", "", ""]
    for name, factor in (
        ("frechet_distance", 1.0),
        ("", 0.0),
        *((name, factor) for name, _, factor in COLUMNS),
    ):
        floors = sorted({row["figures"][name]["floor"] * factor for row in rows if name in row["figures"]})
        cells.append(
            "1" if not name else " to ".join(dict.fromkeys(_short(v) for v in floors[:1] + floors[-1:]))
        )
    return "| " + " | ".join(cells) + " |"


def _terms(rows: Sequence[Row]) -> str:
    sizes = ", ".join(sorted({f"{row['n']:,}" for row in rows}))
    extractors = ", ".join(sorted({row["extractor"] for row in rows}))
    return (
        f"{sizes} samples against as many held-out images; features: {extractors}. "
        "Where there are several seeds: mean ± half the range."
    )


def _values(group: Iterable[Row], name: str) -> list[float]:
    return [row["figures"][name]["value"] for row in group if name in row["figures"]]


def _mean_of(group: Sequence[Row], name: str) -> float:
    return statistics.mean(_values(group, name))


def _with_spread(values: Sequence[float]) -> str:
    if not values:
        return "not measured"
    mean = _short(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ± {_short((max(values) - min(values)) / 2)}"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
