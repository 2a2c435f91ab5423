"""What a run shows and leaves behind: sheets of samples on the way, and the published snapshot."""

from pathlib import Path

import numpy as np
from torch import nn

from ml.checkpoint import SnapshotDocument, save_snapshot
from ml.codecs.png import encode_png
from ml.grid import column_count, contact_sheet
from ml.networks.spec import GeneratorSpec
from ml.sample import SampleItem, Sampler, class_of
from ml.seeds import stream_seed
from ml.training.batch_statistics import with_fresh_statistics
from ml.training.plan import Plan
from ml.training.state import TrainingState
from ml.training.stopwatch import Alarm

GRID_IMAGES = 64
GRID_STATISTICS_IMAGES = 512
SNAPSHOT_STATISTICS_IMAGES = 4096


class Snapshots:
    """Draws from the averaged generator of one run, and publishes it."""

    def __init__(self, plan: Plan, state: TrainingState, spec: GeneratorSpec) -> None:
        self._plan, self._state, self._spec = plan, state, spec
        self._alarm = Alarm(plan.config.grid_seconds)
        self.published: Path | None = None
        """Folder of the snapshot, once it is written."""
        self.grid: Path | None = None
        """The newest sheet."""

    def is_grid_due(self) -> bool:
        """Whether it is time for a sheet."""
        return self._plan.config.grid_seconds > 0 and self._alarm.is_due()

    def draw_grid(self) -> None:
        """Write a sheet of samples of the moment into `grids/`."""
        images_seen = self._state.images_seen
        path = self._plan.out / "grids" / f"{images_seen:09d}.png"
        path.parent.mkdir(exist_ok=True)
        generator = self._with_statistics(self._state.ema.module, images_seen, GRID_STATISTICS_IMAGES)
        self._write_grid(path, generator)
        self._alarm.set()

    def publish(self, averaged: nn.Module, images_seen: int) -> None:
        """Write an averaged generator as the run's snapshot, and the sheet of what it makes.

        Args:
            averaged: weights with any batch statistics.
            images_seen: when they were taken.
        """
        plan = self._plan
        generator = self._with_statistics(averaged, images_seen, SNAPSHOT_STATISTICS_IMAGES)
        document = SnapshotDocument(
            generator=self._spec,
            classes=plan.classes,
            recipe=plan.recipe,
            config=plan.config.model_dump(mode="json"),
            images_seen=images_seen,
            dataset={"name": plan.dataset.name, "content_sha256": plan.dataset.content_sha256},
            holdout=plan.holdout,
        )
        self.published = plan.out / "snapshot"
        save_snapshot(self.published, generator, document)
        self._write_grid(plan.out / "grid.png", generator)

    def _with_statistics(self, averaged: nn.Module, images_seen: int, image_count: int) -> nn.Module:
        return with_fresh_statistics(
            averaged,
            latent_size=self._spec.latent_size,
            classes=self._spec.classes,
            image_count=image_count,
            seed=stream_seed(self._plan.config.seed, f"statistics/{images_seen}"),
        )

    def _write_grid(self, path: Path, generator: nn.Module) -> None:
        """Draw outputs 0 to 63 of the run's own seed, so that sheets of a run show the same noise."""
        spec, classes, seed = self._spec, self._plan.classes, self._plan.config.seed
        sampler = Sampler(
            generator,
            latent_size=spec.latent_size,
            px=spec.px,
            image_channels=spec.image_channels,
            classes=classes,
            device=self._state.device,
        )
        items = [SampleItem(seed, i, class_of(i, classes)) for i in range(GRID_IMAGES)]
        images = np.stack([image for _, image in sampler.sample(items)])
        sheet = contact_sheet(images, column_count(GRID_IMAGES, len(classes)))
        path.write_bytes(encode_png(sheet, self._plan.provenance))
        self.grid = path
        self._plan.hooks.on_grid(path, self._state.images_seen)
