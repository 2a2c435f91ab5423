"""`python -m ml evaluate`: the figures of a snapshot as a table and as JSON."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ml.data.named import load_dataset
from ml.evaluate import evaluate as run_evaluation
from ml.features.registry import EXTRACTORS
from ml.files import write_json
from ml.metrics.report import EvaluationReport, Figure

_GOOD_END = {"lower": "low", "higher": "high", "half": "0.5", "one": "1"}


def evaluate(
    snapshot: Annotated[Path, typer.Argument(help="Folder of a snapshot, such as run/snapshot.")],
    dataset: Annotated[
        str, typer.Option(help="A built-in data set, or a folder with a packed one.")
    ] = "digits",
    n: Annotated[
        int | None,
        typer.Option(
            help="Samples, and real images on each side. Default: as many as are held out, at most 10,000."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the samples and of every random choice.")] = 0,
    truncation: Annotated[float, typer.Option(help="Factor on the noise, as in sampling.")] = 1.0,
    holdout: Annotated[
        float | None,
        typer.Option(help="Share held out. Default: what the training run held out, else 0.1."),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            help=f"Feature space: {', '.join(EXTRACTORS.names)}, or a file of python -m ml.features.train. "
            "Default: chosen by the data."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole report here, as JSON.")] = None,
    data_folder: Annotated[
        Path | None, typer.Option(help="Where the files of a built-in data set are.")
    ] = None,
) -> None:
    """Measure a snapshot against real images that were held out, each figure beside its floor."""
    data = load_dataset(dataset, folder=data_folder)
    console = Console(highlight=False)
    with console.status("") as status:
        report = run_evaluation(
            snapshot,
            data,
            n=n,
            seed=seed,
            truncation=truncation,
            holdout=holdout,
            extractor=extractor,
            on_stage=lambda stage, done: status.update(f"{stage} · {done:.0%}"),
        )
    if out is not None:
        write_json(out, report.model_dump(mode="json"))
    _print(console, report)
    if out is not None:
        console.print(f"Report: {out}")


def _print(console: Console, report: EvaluationReport) -> None:
    console.print(_figures_table(report))
    if report.classes:
        console.print(_classes_table(report))
    split, extractor = report.split, report.extractor
    console.print(f"n = {report.n:,} on each side · seed {report.seed} · {report.seconds:.0f} s", style="dim")
    console.print(
        f"Features: {extractor.name} {extractor.sha256[:12]}, because {extractor.reason}", style="dim"
    )
    console.print(
        f"Split: {split.train:,} for training, {split.test:,} held out ({split.method})", style="dim"
    )
    for skipped in report.skipped:
        console.print(f"Not measured: {', '.join(skipped.figures)}: {skipped.reason}", style="dim")
    for warning in report.warnings:
        console.print(f"Note: {warning}", style="yellow", markup=False)


def _figures_table(report: EvaluationReport) -> Table:
    table = Table("Figure", "Samples", "Floor", "Good", caption="Floor: real training images in their place")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for figure in report.figures:
        table.add_row(figure.name, _with_chance(figure), _number(figure.floor), _GOOD_END[figure.better])
    return table


def _classes_table(report: EvaluationReport) -> Table:
    table = Table("Class", "Made", "Expected", "As asked", "Real", caption=f"By {report.classifier}")
    for column in range(1, 5):
        table.columns[column].justify = "right"
    for row in report.classes:
        table.add_row(
            row.name,
            f"{row.count:,}",
            f"{row.expected:,.0f}",
            _share(row.accuracy),
            _share(row.floor_accuracy),
        )
    return table


def _with_chance(figure: Figure) -> str:
    value = _number(figure.value)
    return value if figure.uncertainty is None else f"{value} ± {_number(figure.uncertainty)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
