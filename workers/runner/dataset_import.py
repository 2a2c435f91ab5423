"""Job kind `dataset_import`: turn an upload or a built-in set into a packed data set that training can read."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel

from ml.data.archive import ArchiveLimits, pack_archive
from ml.data.builtin import load_builtin
from ml.data.packed import DATA_FILENAME, MANIFEST_FILENAME, PackedDataset
from ml.files import sha256_of_file
from ml.grid import BACKGROUND, column_count, contact_sheet
from workers.runner.channel import Channel
from workers.runner.failures import JobError, is_out_of_memory
from workers.runner.job import Job, only_job
from workers.runner.protocol import ExitStatus, Start
from workers.runner.watching import watched

_PREVIEW_IMAGES = 64


class BuiltinSource(BaseModel):
    """A key of `ml.catalog.BUILTIN_DATASETS`."""

    builtin: str


class Upload(BaseModel):
    """The file a user uploaded, as stated; the supervisor has checked size and hash."""

    filename: str
    sha256: str
    size: int


class UploadSource(BaseModel):
    """An archive, given to the runner as input `archive`."""

    upload: Upload


class DatasetImportSpec(BaseModel):
    """What the job kind's spec holds for the runner.

    Attributes:
        name: the data set's name; built-in sets keep their own.
        image_px: side of the packed images in pixels; None picks one that suits the originals.
        require_labels: refuse images without class folders.
        builtin_folder: where the source files of built-in sets lie, for sets no package ships.
    """

    source: BuiltinSource | UploadSource
    name: str
    image_px: int | None = None
    require_labels: bool = False
    builtin_folder: str | None = None


class DatasetImportHandler:
    """Imports one data set per runner, so that nothing of an upload stays in memory for the next."""

    def run(self, start: Start, channel: Channel) -> ExitStatus:
        """Import it and end."""
        job = only_job(start, channel)
        try:
            with watched(job):
                return _import_dataset(job)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the job's end must be told
            return job.fail(_explain_memory(error))


def create_handler() -> DatasetImportHandler:
    return DatasetImportHandler()


def _import_dataset(job: Job) -> ExitStatus:
    spec = DatasetImportSpec.model_validate(job.item.spec)
    job.progress(0, None, "images", at_once=True)
    dataset = _read(spec, job)
    count = len(dataset.images)
    job.progress(count, count, "images", at_once=True)
    return job.finish(_write(dataset, job))


def _read(spec: DatasetImportSpec, job: Job) -> PackedDataset:
    if isinstance(spec.source, BuiltinSource):
        folder = Path(spec.builtin_folder) if spec.builtin_folder else None
        return load_builtin(spec.source.builtin, folder=folder)
    return pack_archive(
        job.input_path("archive"),
        image_px=spec.image_px,
        require_labels=spec.require_labels,
        limits=ArchiveLimits(),
        name=spec.name,
        on_progress=lambda done, total: job.progress(done, total, "images"),
    )


def _write(dataset: PackedDataset, job: Job) -> dict[str, object]:
    """Write the packed files and the contact sheet, name them, and return the job's result."""
    folder = job.folder("dataset")
    manifest = dataset.save(folder)
    # Before it is named: from then on the supervisor may upload it and remove it at any moment.
    manifest_sha256 = sha256_of_file(folder / MANIFEST_FILENAME)
    job.artifact("data", folder / DATA_FILENAME)
    job.artifact("manifest", folder / MANIFEST_FILENAME)
    grid = job.folder("preview") / "grid.png"
    _draw(dataset, grid)
    job.artifact("grid", grid)
    channels, height, width = dataset.image_shape
    return {
        "sample_count": len(dataset.images),
        "width": width,
        "height": height,
        "channels": channels,
        "classes": list(dataset.classes),
        "class_counts": manifest["class_counts"],
        "data_sha256": manifest["sha256"],
        "manifest_sha256": manifest_sha256,
    }


def _draw(dataset: PackedDataset, path: Path) -> None:
    """Write a contact sheet of up to 64 images, one class a column where the classes fit side by side.

    By Pillow, not by our own codec: these are a user's images, and that codec labels them as AI-made.
    """
    cells = _preview_cells(dataset)
    channels, height, width = dataset.image_shape
    images = np.full((len(cells), height, width, channels), BACKGROUND, dtype=np.uint8)
    for cell, image_index in enumerate(cells):
        if image_index is not None:
            images[cell] = dataset.images[image_index].permute(1, 2, 0).numpy()
    sheet = contact_sheet(images, column_count(len(cells), len(dataset.classes)))
    Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet).save(path)


def _preview_cells(dataset: PackedDataset) -> list[int | None]:
    """Image index of each cell, row by row; None is an empty cell in the column of a small class."""
    if dataset.labels is None:
        return list(range(min(_PREVIEW_IMAGES, len(dataset.images))))
    rows = max(1, _PREVIEW_IMAGES // len(dataset.classes))
    columns = [
        (dataset.labels == class_index).nonzero().flatten()[:rows].tolist()
        for class_index in range(len(dataset.classes))
    ]
    filled_rows = max(len(column) for column in columns)
    cells = [column[row] if row < len(column) else None for row in range(filled_rows) for column in columns]
    return cells[:_PREVIEW_IMAGES]


def _explain_memory(error: Exception) -> Exception:
    """Say what a person can do when it is the data set that does not fit."""
    if not is_out_of_memory(error):
        return error
    return JobError(
        "out_of_memory",
        "dataset.too_large_for_memory",
        "The data set does not fit into the worker's memory: upload fewer or smaller images.",
    )
