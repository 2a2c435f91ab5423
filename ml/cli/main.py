"""The command line of `ml`: train, sample, and list what there is, without the platform."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from ml.card.document import CardContext
from ml.card.make import make_card
from ml.card.notes import CardNotes
from ml.catalog import (
    BUILTIN_DATASETS,
    DEFAULT_RECIPE,
    RECIPES,
    Measurement,
    RecipeConfig,
    UnknownRecipeError,
    get_recipe,
    measurements_of,
    parse_config,
)
from ml.checkpoint import read_training_config
from ml.cli.data import data
from ml.cli.evaluate import evaluate
from ml.codecs.png import encode_png
from ml.codecs.provenance import Provenance
from ml.data.named import load_dataset
from ml.data.packed import PackedDataset
from ml.distributed import current_crew
from ml.errors import MlError
from ml.hooks import Hooks, Progress, TrainingResult
from ml.sample import SampleItem, Sampler, class_of
from ml.tracking.mlflow import MlflowTracker
from ml.tracking.tensorboard import TensorBoardTracker
from ml.tracking.tracker import Tracker, following
from ml.train import train as run_training

app = typer.Typer(
    name="python -m ml",
    help="Train small generative networks on your own machine, and sample from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_errors = Console(stderr=True)


@contextmanager
def _errors_for_people() -> Iterator[None]:
    """Turn errors that users can act on into one sentence and exit code 1."""
    try:
        yield
    except (MlError, UnknownRecipeError) as error:
        _errors.print(f"Error: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    except ValidationError as error:
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            sentence = f"Error: {place}: {problem['msg']}" if place else f"Error: {problem['msg']}"
            _errors.print(sentence, style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None


@app.command()
def train(
    dataset: Annotated[
        str, typer.Option(help="A built-in data set, or a folder with a packed one.")
    ] = "digits",
    recipe: Annotated[str | None, typer.Option(help=f"How to train. Default: {DEFAULT_RECIPE}.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for everything the run writes.")] = Path("run"),
    kimg: Annotated[float | None, typer.Option(help="Budget in thousand images.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Budget in seconds; the first one used up ends it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting as name=value; may be repeated.")
    ] = None,
    data_folder: Annotated[
        Path | None, typer.Option(help="Where the files of a built-in data set are.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A run's folder, or one of its checkpoints, to go on from.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, for the model card: CC0-1.0, say.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="URI of an MLflow tracking server that shall follow the run.")
    ] = None,
) -> None:
    """Train a generator and write its snapshot, a sample grid, metrics and a model card into a folder."""
    with _errors_for_people():
        given: dict[str, object] = _parse_settings(settings or [])
        given |= {
            name: value
            for name, value in (("kimg", kimg), ("max_seconds", seconds), ("seed", seed))
            if value is not None
        }
        checkpoint = None if resume is None else _find_checkpoint(resume)
        if checkpoint is not None:
            stored_recipe, stored = read_training_config(checkpoint)
            recipe, given = recipe or stored_recipe, stored | given
        name = recipe or DEFAULT_RECIPE
        config = parse_config(name, given)
        data = load_dataset(dataset, folder=data_folder)
        trackers = _trackers(name, config, out=out, mlflow=mlflow) if current_crew().leads else []
        _train_with_bar(
            data, config, recipe=name, out=out, resume=checkpoint, licence=licence, trackers=trackers
        )


def _trackers(recipe: str, config: RecipeConfig, *, out: Path, mlflow: str | None) -> list[Tracker]:
    """Who follows the run: TensorBoard's files always, MLflow when a server is named."""
    trackers: list[Tracker] = [TensorBoardTracker(out)]
    if mlflow is not None:
        settings = config.model_dump(mode="json")
        tell = partial(_errors.print, style="yellow", markup=False, highlight=False)
        trackers.append(MlflowTracker(mlflow, recipe=recipe, config=settings, tell=tell))
    return trackers


def _train_with_bar(
    data: PackedDataset,
    config: RecipeConfig,
    *,
    recipe: str,
    out: Path,
    resume: Path | None,
    licence: str | None,
    trackers: Sequence[Tracker],
) -> None:
    console = Console(quiet=not current_crew().leads)
    notes = CardNotes()
    bar = ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[losses]}"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task(recipe, total=config.total_images, speed="", losses="")

        def show(progress: Progress) -> None:
            metrics = progress.metrics
            losses = " ".join(
                f"{letter} {metrics[name]:.2f}"
                for letter, name in (("D", "loss_discriminator"), ("G", "loss_generator"))
                if name in metrics
            )
            speed = f"{progress.images_per_second:,.0f} img/s"
            bar.update(task, completed=progress.images_seen, speed=speed, losses=losses)

        with following(notes.listening(Hooks(on_progress=show)), trackers) as followed:
            result = followed.result = run_training(
                data, config, recipe=recipe, out=out, hooks=followed.hooks, resume=resume
            )
    console.print(
        f"{result.images_seen:,} images in {result.seconds:.1f} s. "
        f"Snapshot: {result.snapshot}; samples: {result.grid}",
        highlight=False,
    )
    if result.snapshot is not None:
        _write_card(data, result, out=out, notes=notes, licence=licence, console=console)


def _write_card(
    data: PackedDataset,
    result: TrainingResult,
    *,
    out: Path,
    notes: CardNotes,
    licence: str | None,
    console: Console,
) -> None:
    def tell(_event_type: str, skipped: Mapping[str, object]) -> None:
        console.print(f"No figures: {skipped['message']}", style="yellow", markup=False, highlight=False)

    with console.status("Measuring for the model card"):
        files = make_card(
            data, result, out=out, notes=notes, context=CardContext(licence=licence), on_event=tell
        )
    console.print(f"Model card: {files.markdown}, {files.picture}, {files.document}", highlight=False)


@app.command()
def sample(
    snapshot: Annotated[Path, typer.Argument(help="Folder of a snapshot, such as run/snapshot.")],
    out: Annotated[Path, typer.Option(help="Folder for the images.")] = Path("samples"),
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many images.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Image i of a seed is always the same image.")] = 0,
    class_name: Annotated[str | None, typer.Option("--class", help="Only this class.")] = None,
    truncation: Annotated[float, typer.Option(help="Below 1: more typical, less varied images.")] = 1.0,
) -> None:
    """Write images from a snapshot as PNG files, each labelled as AI-made."""
    with _errors_for_people():
        sampler = Sampler.load(snapshot)
        items = [
            SampleItem(seed, i, class_of(i, sampler.classes, class_name), truncation) for i in range(count)
        ]
        images = sampler.sample(items)
    out.mkdir(parents=True, exist_ok=True)
    for i, image in images:
        class_index = items[i].class_index
        label = Provenance(
            model_sha256=sampler.sha256,
            seed=seed,
            index=i,
            class_name=None if class_index is None else sampler.classes[class_index],
        )
        (out / f"{i:06d}.png").write_bytes(encode_png(image, label))
    Console().print(f"{count:,} images in {out}", highlight=False)


app.command()(_errors_for_people()(evaluate))
app.command()(_errors_for_people()(data))


@app.command()
def datasets() -> None:
    """List the built-in data sets."""
    table = Table("Name", "What it is", "Images", "Licence")
    for dataset in BUILTIN_DATASETS.values():
        count = "" if dataset.sample_count is None else f"{dataset.sample_count:,}"
        table.add_row(dataset.name, dataset.title, count, dataset.licence)
    Console().print(table)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe's settings.")] = None,
) -> None:
    """List the recipes, or the settings of one."""
    with _errors_for_people():
        table = _settings_table(name) if name else _recipes_table()
    Console().print(table)


def _recipes_table() -> Table:
    table = Table("Name", "What it is", "Paper")
    for recipe in RECIPES.values():
        table.add_row(recipe.name, recipe.summary, recipe.paper)
    return table


def _settings_table(name: str) -> Table:
    table = Table("Setting", "Default", "Unit", "What it does")
    for setting, field in get_recipe(name).config_type.model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        table.add_row(setting, json.dumps(field.default), unit, field.description)
    table.caption = "\n".join(map(_measured, measurements_of(name))) or None
    return table


def _measured(found: Measurement) -> str:
    multiple = found.frechet_distance / found.floor
    return (
        f"{found.dataset}, {found.seconds:g} s of two idle cores ({found.kimg:g} kimg): Fréchet distance "
        f"{found.frechet_distance:.3g}, {multiple:.3g} times the floor (n = {found.n:,}, seeds: {found.seeds})"
    )


def _parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Read `name=value` pairs; values are JSON, and plain words are taken as text."""
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise MlError("cli.setting", f"--set {pair}: write name=value, such as batch_size=32.")
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text
    return given


def _find_checkpoint(folder: Path) -> Path:
    """The folder itself if it is a training state, else the newest one of the run in it."""
    if (folder / "state.json").is_file():
        return folder
    found = sorted((folder / "checkpoints").glob("[0-9]*"))
    if not found:
        raise MlError("cli.no_checkpoint", f"{folder} holds no checkpoint to resume from.")
    return found[-1]
