"""One process's part of a training run: the state, the data on the device, and who looks after what."""

from dataclasses import dataclass, field
from typing import Literal, Self, cast

import torch
from torch import Tensor

from ml.distributed import current_crew
from ml.hooks import Stop, TrainingResult
from ml.metrics.running import RunningMetrics, Statistics, mean_scalars
from ml.networks.spec import ImageChannels, network_specs
from ml.training.compilation import compile_networks
from ml.training.health import Health, Verdict
from ml.training.plan import Plan
from ml.training.precision import choose_precision
from ml.training.quality import Quality
from ml.training.reports import Reports
from ml.training.resume import Checkpoints, restore
from ml.training.snapshots import Snapshots
from ml.training.state import PRECISIONS, TrainingState
from ml.training.steps.choose import Step, choose_step
from ml.training.stopwatch import Stopwatch


@dataclass
class Run:
    """Made by `prepare`, driven by `ml.train.train`.

    Attributes:
        state: all that changes and a checkpoint must hold.
        images: uint8 [N, C, H, W] on the device, held-out ones included.
        labels: int64 [N] on the device, or None for an unconditional run.
        take_step: what the recipe does with a batch.
        health: looks for breakdown and collapse.
        quality: measures snapshots, and chooses the one to publish.
        reports: progress and metrics.
        checkpoints: training states.
        snapshots: sheets of samples, and the published snapshot.
    """

    plan: Plan
    state: TrainingState
    images: Tensor
    labels: Tensor | None
    take_step: Step
    watch: Stopwatch
    health: Health
    quality: Quality
    reports: Reports
    checkpoints: Checkpoints
    snapshots: Snapshots
    metrics: RunningMetrics = field(default_factory=RunningMetrics)
    _statistics: Statistics | None = None

    @classmethod
    def prepare(cls, plan: Plan, *, checkpoint_seconds: float, compiled: bool | None = None) -> Self:
        """Build or restore the state, move the data to the device, and compile if `compiled` or on a GPU."""
        plan.out.mkdir(parents=True, exist_ok=True)
        dataset, config = plan.dataset, plan.config
        channels, px, _ = dataset.image_shape
        classes = len(plan.classes)
        specs = network_specs(config, px=px, image_channels=cast(ImageChannels, channels), classes=classes)
        state = TrainingState.fresh(config, *specs, image_count=len(plan.split.train), device=plan.device)
        state.crew = current_crew()
        state.crew.check_batch(config.batch_size)
        if plan.resume is None:
            fastest = choose_precision(state, config, classes=classes)
            state.precision = PRECISIONS[state.crew.agree(PRECISIONS.index(fastest))]
        else:
            restore(plan, state, plan.resume)
        compiled_players = compile_networks(state, config, wanted=compiled)
        watch, metrics = Stopwatch(state.seconds), RunningMetrics()
        quality = Quality(plan, state)
        plan.hooks.on_event(
            "started" if plan.resume is None else "resumed",
            {
                "images_seen": state.images_seen,
                "device": str(plan.device),
                "precision": state.precision,
                "devices": state.crew.size,
                "threads": torch.get_num_threads(),
                "compiled": compiled_players,
                "classes": classes,
            },
        )
        return cls(
            plan=plan,
            state=state,
            images=dataset.images.to(plan.device),
            labels=dataset.labels.to(plan.device) if classes and dataset.labels is not None else None,
            take_step=choose_step(config),
            watch=watch,
            health=Health(config, plan.hooks),
            quality=quality,
            reports=Reports(plan, state, metrics, quality, watch),
            checkpoints=Checkpoints(plan, state, metrics, watch, seconds=checkpoint_seconds),
            snapshots=Snapshots(plan, state, specs.generator),
            metrics=metrics,
        )

    @property
    def leads(self) -> bool:
        """Whether this process reports, measures and writes, see `ml.distributed`."""
        return self.state.crew.leads

    def is_over(self) -> bool:
        """Whether the images or the seconds are used up, or more of them would not help."""
        config = self.plan.config
        out_of_time = config.max_seconds is not None and self.watch.seconds() >= config.max_seconds
        is_over = out_of_time or self.state.images_seen >= config.total_images or self.quality.is_plateau()
        return bool(self.state.crew.agree(is_over))

    def wanted_stop(self) -> Stop | None:
        """How the outside wants the run to end, if it does."""
        choices: tuple[Stop | None, ...] = (None, *Stop)
        asked = self.plan.hooks.should_stop() if self.leads else None
        return choices[self.state.crew.agree(choices.index(asked))]

    def step(self) -> None:
        """Train on the next batch of the training side."""
        config, state = self.plan.config, self.state
        picked = self.plan.split.train[state.crew.share(state.sampler.next_batch(config.batch_size))]
        on_device = picked.to(self.images.device)
        real_images = self.images[on_device].float().div_(127.5).sub_(1.0)
        if config.augment_flip:
            mirrored = state.crew.share(torch.rand(config.batch_size, generator=state.augmentation)) < 0.5
            real_images[mirrored] = real_images[mirrored].flip(-1)
        labels = None if self.labels is None else self.labels[on_device]
        self._statistics = self.take_step(state, real_images, labels)
        self.metrics.add(self._statistics)

    def is_check_due(self) -> bool:
        """Whether it is time to look at the run's health."""
        return self.health.is_due(self.state)

    def check_health(self) -> None:
        """Look at the run's health and act on it, see `ml.training.health`.

        Raises:
            NonFiniteLossError: training broke down too often.
        """
        if self._statistics is None:
            return
        scalars = mean_scalars(self._statistics, self.state.crew)
        non_finite = self.metrics.non_finite(self.state.crew)
        finding = self.health.check(self.state, scalars, non_finite, is_last=self.is_over())
        if finding.verdict is Verdict.ROLLBACK:
            self.metrics.forgive()

    def end_early(self, stop: Stop) -> TrainingResult:
        """Stop before the budget is used up."""
        if stop is Stop.CHECKPOINT and self.leads:
            self.checkpoints.write()
        return self._result("stopped", {}, images_seen=0)

    def finish(self) -> TrainingResult:
        """Look once more, write the last training state, and publish the best snapshot."""
        if not self.is_check_due():
            self.check_health()
        if not self.leads:
            return self._result("finished", {}, images_seen=0)
        self.quality.measure_last()
        self.reports.report()
        self.checkpoints.write()
        choice = self.quality.choose()
        self.snapshots.publish(choice.generator, choice.images_seen)
        return self._result("finished", choice.record, images_seen=choice.images_seen)

    def _result(
        self, status: Literal["finished", "stopped"], chosen: dict[str, object], *, images_seen: int
    ) -> TrainingResult:
        plan = self.plan
        plan.hooks.on_event(status, {"images_seen": self.state.images_seen})
        return TrainingResult(
            status=status,
            images_seen=self.state.images_seen,
            seconds=self.watch.seconds(),
            snapshot=self.snapshots.published,
            snapshot_images_seen=images_seen,
            snapshot_chosen=chosen,
            checkpoint=self.checkpoints.latest,
            metrics=dict(self.reports.latest),
            grid=self.snapshots.grid,
            recipe=plan.recipe,
            config=plan.config.model_dump(mode="json"),
            profile=plan.profile.as_json(),
            holdout=plan.holdout.model_dump(mode="json"),
        )
