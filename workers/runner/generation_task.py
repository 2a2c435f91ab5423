"""One generation job while it is being made: what comes next, and what to do with an image."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, JsonValue

from ml.catalog import LARGEST_SEED
from ml.codecs.png import encode_png
from ml.errors import InvalidCheckpointError
from ml.grid import column_count, contact_sheet
from ml.sample import LARGEST_TRUNCATION, SampleItem, Sampler
from workers.runner.delivery import ArchiveDelivery, Delivery, FileDelivery, slug
from workers.runner.failures import JobError
from workers.runner.job import Job
from workers.runner.protocol import Problem
from workers.runner.provenance import provenance_of
from workers.runner.samplers import SamplerCache

GRID_IMAGES = 64


class GenerationSpec(BaseModel):
    """What the job kind's spec holds for the runner.

    Attributes:
        count: images to make.
        seed: of all of them; image i depends on (snapshot, seed, i, class, truncation) alone.
        classes: names of the classes to make, taking turns; None or none takes all classes of the generator.
        truncation: factor on the noise; below 1 trades variety for typical images.
        delivery: a file and artifact for each image, or one archive.
        lean: hold as little in memory as possible; the images are the same, they only take longer.
    """

    count: int = Field(ge=1)
    seed: int = Field(ge=0, le=LARGEST_SEED)
    classes: list[str] | None = None
    truncation: float = Field(default=1.0, gt=0, le=LARGEST_TRUNCATION)
    format: Literal["png"] = "png"
    delivery: Literal["files", "archive"] = "files"
    lean: bool = False


class GenerationTask:
    """A job between its start and its end.

    One thread plans and makes images (`remaining`, `plan`); one thread at a time delivers them and ends the job
    (the other methods), so nothing is said about a job after its end.
    """

    def __init__(self, job: Job, samplers: SamplerCache) -> None:
        """Check everything that can be wrong with this job alone, and load its generator.

        Raises:
            JobError: the snapshot cannot be used, or it has no such class.
            pydantic.ValidationError: the spec is not valid.
        """
        self.job = job
        self.spec = GenerationSpec.model_validate(job.item.spec)
        try:
            self.sampler: Sampler = samplers.get(job.input_path("snapshot"))
        except InvalidCheckpointError as error:
            # Its bytes had the right hash on the way here, so every worker would refuse it.
            raise JobError("invalid_input", error.code, error.message) from error
        self.class_indices = _class_indices(self.spec.classes, self.sampler.classes)
        self.has_ended = False
        self._started_at = time.monotonic()
        self._planned = 0
        self._delivered = 0
        self._provenance = provenance_of(job.item)
        self._grid: list[NDArray[np.uint8]] = []
        said = job.item.provenance
        self._prefix = slug(said.get("model") or said.get("model_version") or "sample")
        self._delivery = self._open_delivery()
        job.progress(0, self.spec.count, "images", at_once=True)

    @property
    def remaining(self) -> int:
        """Images still to be planned; none once the job has ended or is asked to stop."""
        # A job that ends is marked before the channel forgets its stop: asked in this order, one of them shows.
        if self.job.stop_mode() is not None or self.has_ended:
            return 0
        return self.spec.count - self._planned

    def plan(self, count: int) -> list[SampleItem]:
        """The next images to make, at most `count`."""
        first, self._planned = self._planned, min(self.spec.count, self._planned + count)
        return [
            SampleItem(self.spec.seed, index, self._class_index(index), self.spec.truncation)
            for index in range(first, self._planned)
        ]

    def deliver(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Encode and deliver the next images, in the order they were planned; end the job after the last."""
        for image in images:
            self._deliver_one(self._delivered, image)
            self._delivered += 1
        self._report()
        if self._delivered == self.spec.count:
            self._finish()

    def stop_if_asked(self) -> None:
        """End the job if the supervisor wants that. Nothing is kept: it can be made again, bit for bit."""
        if not self.has_ended and self.job.stop_mode() is not None:
            self.has_ended = True
            self._delivery.abandon()
            self.job.stop(checkpointed=False)

    def fail(self, error: Exception) -> None:
        """End the job because of this error, unless it has ended."""
        if not self.has_ended:
            self.has_ended = True
            self._delivery.abandon()
            self.job.fail(error)

    def _class_index(self, index: int) -> int | None:
        return self.class_indices[index % len(self.class_indices)] if self.class_indices else None

    def _deliver_one(self, index: int, image: NDArray[np.uint8]) -> None:
        class_index = self._class_index(index)
        class_name = None if class_index is None else self.sampler.classes[class_index]
        label = replace(self._provenance, seed=self.spec.seed, index=index, class_name=class_name)
        self._delivery.add(index, class_name, encode_png(image, label))
        if len(self._grid) < GRID_IMAGES:
            self._grid.append(image)

    def _report(self) -> None:
        rate = self._delivered / max(1e-9, time.monotonic() - self._started_at)
        left = self.spec.count - self._delivered
        self.job.progress(
            self._delivered, self.spec.count, "images", rate=rate, eta_seconds=left / max(rate, 1e-9)
        )

    def _finish(self) -> None:
        self._delivery.close()
        sheet = contact_sheet(np.stack(self._grid), column_count(len(self._grid), len(self.class_indices)))
        path = self.job.folder("grid") / f"{self._prefix}-grid.png"
        path.write_bytes(encode_png(sheet, replace(self._provenance, seed=self.spec.seed)))
        self.job.artifact("grid", path, metadata={"seed": self.spec.seed, "count": len(self._grid)})
        height, width, channels = self.sampler.image_shape
        self.has_ended = True
        self.job.finish(
            {
                "count": self.spec.count,
                "seed": self.spec.seed,
                "truncation": self.spec.truncation,
                "classes": [self.sampler.classes[index] for index in self.class_indices],
                "image": {"width": width, "height": height, "channels": channels},
                "snapshot_sha256": self.sampler.sha256,
            }
        )

    def _open_delivery(self) -> Delivery:
        if self.spec.delivery == "files":
            return FileDelivery(self.job, prefix=self._prefix, seed=self.spec.seed)
        about: dict[str, JsonValue] = {
            **self.job.item.provenance,
            "job": self.job.id,
            "snapshot_sha256": self.sampler.sha256,
            "seed": self.spec.seed,
            "truncation": self.spec.truncation,
        }
        return ArchiveDelivery(self.job, prefix=self._prefix, seed=self.spec.seed, about=about)


def _class_indices(requested: Sequence[str] | None, classes: Sequence[str]) -> list[int]:
    """Indices of the classes to make; empty for a generator without classes.

    Raises:
        JobError: the generator does not know one of them.
    """
    if not requested:
        return list(range(len(classes)))
    unknown = [position for position, name in enumerate(requested) if name not in classes]
    if unknown:
        known = ", ".join(classes[:20]) or "none: it was trained without labels"
        raise JobError(
            "invalid_input",
            "sample.unknown_class",
            f"This model does not know every class that was asked for. It knows: {known}.",
            [
                Problem(
                    pointer=f"/classes/{position}",
                    code="sample.unknown_class",
                    message=f"This model has no class {requested[position][:100]!r}.",
                )
                for position in unknown
            ],
        )
    return [classes.index(name) for name in requested]
