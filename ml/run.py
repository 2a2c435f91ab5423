"""What the training loop does at each of its turns: steps, reports, grids, checkpoints, the snapshot."""

import json
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import torch
from torch import Tensor

from ml.batch_statistics import with_fresh_statistics
from ml.catalog import MAY_DIFFER_ON_RESUME, GanConfig, RecipeConfig, is_conditional
from ml.checkpoint import (
    SnapshotDocument,
    StateDocument,
    load_training_state,
    save_snapshot,
    save_training_state,
)
from ml.codecs.png import encode_png
from ml.codecs.provenance import Provenance
from ml.data.packed import PackedDataset
from ml.errors import InvalidCheckpointError
from ml.grid import column_count, contact_sheet
from ml.health import Health, Verdict
from ml.hooks import Hooks, Progress, TrainingResult
from ml.metrics.running import RunningMetrics, Statistics, gradient_norm
from ml.networks.spec import GeneratorSpec, network_specs
from ml.precision import choose_precision
from ml.profile import DataProfile
from ml.sample import SampleItem, Sampler, class_of
from ml.seeds import stream_seed
from ml.state import TrainingState
from ml.steps import Step, choose_step

GRID_IMAGES = 64
GRID_STATISTICS_IMAGES = 512
SNAPSHOT_STATISTICS_IMAGES = 4096
CHECKPOINTS_KEPT = 2
"""The newest, and the one before it, which somebody may still be copying."""


@dataclass
class Run:
    """One process's part of a training run. Made by `prepare`, driven by `ml.train.train`.

    Attributes:
        state: all that changes and a checkpoint must hold.
        images: uint8 [N, C, H, W] on the device.
        labels: int64 [N] on the device, or None for an unconditional run.
    """

    dataset: PackedDataset
    profile: DataProfile
    config: RecipeConfig
    recipe: str
    out: Path
    hooks: Hooks
    provenance: Provenance
    state: TrainingState
    generator_spec: GeneratorSpec
    images: Tensor
    labels: Tensor | None
    take_step: Step
    health: Health
    metrics: RunningMetrics = field(default_factory=RunningMetrics)
    _statistics: Statistics | None = None
    _started_at: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0
    _tick_at: float = field(default_factory=time.monotonic)
    _tick_images: int = 0
    _grid_at: float = field(default_factory=time.monotonic)
    _reported: dict[str, float] = field(default_factory=dict)
    _checkpoint: Path | None = None
    _snapshot: Path | None = None
    _grid: Path | None = None

    @classmethod
    def prepare(
        cls,
        dataset: PackedDataset,
        profile: DataProfile,
        config: RecipeConfig,
        *,
        recipe: str,
        out: Path,
        hooks: Hooks,
        resume: Path | None,
        device: torch.device,
        provenance: Provenance,
    ) -> Self:
        """Build or restore the state and move the data to the device."""
        out.mkdir(parents=True, exist_ok=True)
        channels, px, _ = dataset.image_shape
        classes = len(dataset.classes) if is_conditional(config, classes=len(dataset.classes)) else 0
        specs = network_specs(config, px=px, image_channels=cast(Literal[1, 3], channels), classes=classes)
        state = TrainingState.fresh(config, *specs, image_count=len(dataset.images), device=device)
        if resume is None:
            state.precision = choose_precision(state, config, classes=classes)
            (out / "metrics.jsonl").unlink(missing_ok=True)
        else:
            _restore(state, resume, dataset=dataset, config=config, recipe=recipe)
        run = cls(
            dataset=dataset,
            profile=profile,
            config=config,
            recipe=recipe,
            out=out,
            hooks=hooks,
            provenance=provenance,
            state=state,
            generator_spec=specs.generator,
            images=dataset.images.to(device),
            labels=dataset.labels.to(device) if classes and dataset.labels is not None else None,
            take_step=choose_step(config),
            health=Health(config, hooks),
            _seconds_before=state.seconds,
            _tick_images=state.images_seen,
        )
        hooks.on_event(
            "started" if resume is None else "resumed",
            {
                "images_seen": state.images_seen,
                "device": str(device),
                "precision": state.precision,
                "threads": torch.get_num_threads(),
                "classes": classes,
            },
        )
        return run

    def is_budget_used(self) -> bool:
        """Whether the images or the seconds are used up."""
        limit = self.config.max_seconds
        out_of_time = limit is not None and self._seconds() >= limit
        return out_of_time or self.state.images_seen >= self.config.total_images

    def step(self) -> None:
        """Train on the next batch."""
        picked = self.state.sampler.next_batch(self.config.batch_size)
        on_device = picked.to(self.images.device)
        real_images = self.images[on_device].float().div_(127.5).sub_(1.0)
        if self.config.augment_flip:
            mirrored = torch.rand(len(picked), generator=self.state.augmentation) < 0.5
            real_images[mirrored] = real_images[mirrored].flip(-1)
        labels = None if self.labels is None else self.labels[on_device]
        self._statistics = self.take_step(self.state, real_images, labels)
        self.metrics.add(self._statistics)

    def is_check_due(self) -> bool:
        """Whether it is time to look at the run's health."""
        return self.health.is_due(self.state)

    def check_health(self, *, is_last: bool = False) -> None:
        """Look at the run's health and act on it, see `ml.health`.

        Raises:
            NonFiniteLossError: training broke down too often.
        """
        if self._statistics is None:
            return
        is_last = is_last or self.state.images_seen >= self.config.total_images
        scalars = {name: float(value) for name, value in self._statistics.scalars().items()}
        non_finite = self.metrics.non_finite()
        finding = self.health.check(self.state, scalars, non_finite, is_last=is_last)
        if finding.verdict is Verdict.ROLLBACK:
            self.metrics.forgive()

    def is_tick_due(self) -> bool:
        """Whether it is time for a progress report."""
        return time.monotonic() - self._tick_at >= self.config.tick_seconds

    def is_grid_due(self) -> bool:
        """Whether it is time for a sample grid."""
        interval = self.config.grid_seconds
        return interval > 0 and time.monotonic() - self._grid_at >= interval

    def report(self) -> None:
        """Tell the hook how things stand, and add a line to `metrics.jsonl`."""
        now = time.monotonic()
        state, total = self.state, self.config.total_images
        rate = (state.images_seen - self._tick_images) / max(now - self._tick_at, 1e-9)
        self._tick_at, self._tick_images = now, state.images_seen
        norms = {
            f"gradient_norm_{player}": gradient_norm(module)
            for player, (module, _) in state.players().items()
        }
        finite = {name: norm for name, norm in norms.items() if math.isfinite(norm)}
        self._reported = self.metrics.read() | finite
        progress = Progress(
            images_seen=state.images_seen,
            total_images=total,
            images_per_second=rate,
            seconds=self._seconds(),
            eta_seconds=self._eta_seconds(rate),
            metrics=dict(self._reported),
        )
        line = {
            "images_seen": progress.images_seen,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(rate, 1),
            **progress.metrics,
        }
        with (self.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.hooks.on_progress(progress)

    def draw_grid(self) -> None:
        """Write a sheet of samples of the moment into `grids/`."""
        path = self.out / "grids" / f"{self.state.images_seen:09d}.png"
        path.parent.mkdir(exist_ok=True)
        self._write_grid(path, self._averaged_generator(GRID_STATISTICS_IMAGES))
        self._grid_at = time.monotonic()

    def write_checkpoint(self) -> None:
        """Write a training state, tell the hook, and drop states older than the one before it.

        A broken state is not written: a resumed run meets the same break again, and deals with it.
        """
        state = self.state
        if self.metrics.non_finite():
            return
        state.seconds = self._seconds()
        folder = self.out / "checkpoints" / f"{state.images_seen:09d}"
        document = StateDocument(
            recipe=self.recipe,
            config=self.config.model_dump(mode="json"),
            dataset_sha256=self.dataset.content_sha256,
            images_seen=state.images_seen,
            seconds=state.seconds,
            precision=state.precision,
        )
        save_training_state(folder, state.tensors(), document)
        self._checkpoint = folder
        self.hooks.on_checkpoint(folder, state.images_seen)
        for old in sorted(folder.parent.glob("[0-9]*"))[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)

    def write_snapshot(self) -> None:
        """Write the averaged generator, and the sheet of what it makes."""
        generator = self._averaged_generator(SNAPSHOT_STATISTICS_IMAGES)
        self._snapshot = self.out / "snapshot"
        document = SnapshotDocument(
            generator=self.generator_spec,
            classes=self._classes(),
            recipe=self.recipe,
            config=self.config.model_dump(mode="json"),
            images_seen=self.state.images_seen,
            dataset={"name": self.dataset.name, "content_sha256": self.dataset.content_sha256},
        )
        save_snapshot(self._snapshot, generator, document)
        self._write_grid(self.out / "grid.png", generator)

    def result(self, status: Literal["finished", "stopped"]) -> TrainingResult:
        """Sum the run up."""
        self.hooks.on_event(status, {"images_seen": self.state.images_seen})
        return TrainingResult(
            status=status,
            images_seen=self.state.images_seen,
            seconds=self._seconds(),
            snapshot=self._snapshot,
            checkpoint=self._checkpoint,
            metrics=dict(self._reported),
            grid=self._grid,
            recipe=self.recipe,
            config=self.config.model_dump(mode="json"),
            profile=self.profile.as_json(),
        )

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started_at

    def _eta_seconds(self, rate: float) -> float | None:
        if rate <= 0:
            return None
        left = max(0, self.config.total_images - self.state.images_seen) / rate
        if self.config.max_seconds is not None:
            left = min(left, max(0.0, self.config.max_seconds - self._seconds()))
        return left

    def _classes(self) -> tuple[str, ...]:
        return self.dataset.classes if self.generator_spec.classes else ()

    def _averaged_generator(self, statistics_images: int) -> torch.nn.Module:
        return with_fresh_statistics(
            self.state.ema.module,
            latent_size=self.generator_spec.latent_size,
            classes=self.generator_spec.classes,
            image_count=statistics_images,
            seed=stream_seed(self.config.seed, f"statistics/{self.state.images_seen}"),
        )

    def _write_grid(self, path: Path, generator: torch.nn.Module) -> None:
        """Draw outputs 0 to 63 of the run's own seed, so that sheets of a run show the same noise."""
        spec, classes = self.generator_spec, self._classes()
        sampler = Sampler(
            generator,
            latent_size=spec.latent_size,
            px=spec.px,
            image_channels=spec.image_channels,
            classes=classes,
            device=self.state.device,
        )
        items = [SampleItem(self.config.seed, i, class_of(i, classes)) for i in range(GRID_IMAGES)]
        images = np.stack([image for _, image in sampler.sample(items)])
        sheet = contact_sheet(images, column_count(GRID_IMAGES, len(classes)))
        path.write_bytes(encode_png(sheet, self.provenance))
        self._grid = path
        self.hooks.on_grid(path, self.state.images_seen)


def _restore(
    state: TrainingState, folder: Path, *, dataset: PackedDataset, config: RecipeConfig, recipe: str
) -> None:
    """Load a training state after checking that it is of this recipe, data and config."""
    tensors, document = load_training_state(folder, state.tensors())
    wanted = config.model_dump(mode="json")
    may_differ = MAY_DIFFER_ON_RESUME - ({"kimg"} if _follows_the_budget(config) else set())
    different = [
        name for name in wanted if name not in may_differ and wanted[name] != document.config.get(name)
    ]
    if document.recipe != recipe:
        different.insert(0, "recipe")
    if document.dataset_sha256 != dataset.content_sha256:
        different.insert(0, "data set")
    if different:
        raise InvalidCheckpointError(
            "checkpoint.other_run",
            f"{folder} belongs to another run: {', '.join(different)} differ. Resume with the same settings "
            "and data, or start a new run.",
        )
    state.restore(tensors)
    state.images_seen = document.images_seen
    state.seconds = document.seconds
    state.precision = document.precision


def _follows_the_budget(config: RecipeConfig) -> bool:
    """Whether another kimg would change the weights at a given number of images, by way of a schedule."""
    penalty_final = config.penalty_final if isinstance(config, GanConfig) else 1.0
    return config.learning_rate_final < 1 or penalty_final < 1
