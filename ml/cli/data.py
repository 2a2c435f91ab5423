"""`python -m ml data`: look at images before training on them, and pack them for it."""

import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ml.catalog import BUILTIN_DATASETS
from ml.data.archive import pack_archive
from ml.data.named import load_dataset
from ml.data.packed import MANIFEST_FILENAME, PackedDataset
from ml.data.profile import DataProfile, profile_dataset
from ml.data.split import default_holdout, split_dataset

_MOST_CLASSES_SHOWN = 20


def data(
    source: Annotated[
        str,
        typer.Argument(help="A built-in set, a packed folder, a zip or tar archive, or a folder of images."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the packed form here; train with --dataset THIS_FOLDER.")
    ] = None,
    image_px: Annotated[
        int | None, typer.Option(help="Side of the packed images in pixels. Default: chosen by the images.")
    ] = None,
    data_folder: Annotated[
        Path | None, typer.Option(help="Where the files of a built-in data set are.")
    ] = None,
) -> None:
    """Say what a data set is like: sizes, copies, classes, what to expect. With --out, pack it for training."""
    console = Console(highlight=False)
    with console.status("Reading"):
        dataset = _read(source, image_px=image_px, data_folder=data_folder)
        profile = profile_dataset(dataset)
        held_out = len(split_dataset(dataset, holdout=default_holdout(dataset)).test)
    console.print(_table(dataset, profile, held_out))
    console.print(f"Content SHA-256: {dataset.content_sha256}", soft_wrap=True)
    for warning in profile.warnings:
        console.print(f"Note: {warning.message}", style="yellow", markup=False, soft_wrap=True)
    if out is not None:
        dataset.save(out)
        console.print(f"Packed: {out}", soft_wrap=True)


def _read(source: str, *, image_px: int | None, data_folder: Path | None) -> PackedDataset:
    path = Path(source)
    if source in BUILTIN_DATASETS or (path / MANIFEST_FILENAME).is_file():
        return load_dataset(source, folder=data_folder)
    if path.is_file():
        return pack_archive(path, image_px=image_px)
    if path.is_dir():
        return _pack_folder(path, image_px=image_px)
    return load_dataset(source, folder=data_folder)


def _pack_folder(folder: Path, *, image_px: int | None) -> PackedDataset:
    """Pack a folder as an upload of it would be: the same names, order and checks."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "images.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(folder.parent))
        return pack_archive(archive, image_px=image_px, name=folder.resolve().name)


def _table(dataset: PackedDataset, profile: DataProfile, held_out: int) -> Table:
    table = Table("What", "Here", title=dataset.name, show_header=False)
    kind = {1: "grey", 2: "grey with alpha", 3: "colour", 4: "colour with alpha"}[profile.channels]
    table.add_row("images", f"{profile.count:,} of {profile.width}x{profile.height} px, {kind}")
    table.add_row("held out by a training run", f"{held_out:,}")
    table.add_row("exact copies", f"{profile.exact_duplicates:,}")
    near = f"{profile.near_duplicate_share:.0%} of {profile.near_duplicates_checked:,} looked at"
    table.add_row("with a near copy", near)
    classes = list(profile.class_counts.items())
    for name, count in classes[:_MOST_CLASSES_SHOWN]:
        table.add_row(f"class {name}", f"{count:,}")
    if len(classes) > _MOST_CLASSES_SHOWN:
        table.add_row("further classes", f"{len(classes) - _MOST_CLASSES_SHOWN:,}")
    return table
