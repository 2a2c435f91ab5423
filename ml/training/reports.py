"""What a run says while it trains: a line of metrics and a progress report now and then."""

import json
import math
from pathlib import Path

from ml.hooks import Progress
from ml.metrics.running import RunningMetrics, gradient_norm
from ml.training.plan import Plan
from ml.training.quality import Quality
from ml.training.state import TrainingState
from ml.training.stopwatch import Alarm, Stopwatch

METRICS_FILENAME = "metrics.jsonl"


class Reports:
    """Tells the hook how things stand, and writes `metrics.jsonl`."""

    def __init__(
        self, plan: Plan, state: TrainingState, metrics: RunningMetrics, quality: Quality, watch: Stopwatch
    ) -> None:
        self._plan, self._state, self._metrics, self._quality = plan, state, metrics, quality
        self._watch = watch
        self._alarm = Alarm(plan.config.tick_seconds)
        self._images, self._seconds = state.images_seen, watch.seconds()
        self.latest: dict[str, float] = {}
        """Metrics of the last report."""
        if plan.resume is None:
            self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._plan.out / METRICS_FILENAME

    def is_due(self) -> bool:
        """Whether it is time for a report."""
        return self._alarm.is_due()

    def report(self) -> None:
        """Tell the hook how things stand, and add a line to `metrics.jsonl`."""
        seconds, images = self._watch.seconds(), self._state.images_seen
        rate = (images - self._images) / max(seconds - self._seconds, 1e-9)
        self._images, self._seconds = images, seconds
        self._alarm.set()
        self.latest = self._read()
        progress = Progress(
            images_seen=images,
            total_images=self._plan.config.total_images,
            images_per_second=rate,
            seconds=seconds,
            eta_seconds=self._eta_seconds(rate),
            metrics=dict(self.latest),
        )
        line = {
            "images_seen": images,
            "seconds": round(seconds, 3),
            "images_per_second": round(rate, 1),
            **progress.metrics,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._plan.hooks.on_progress(progress)

    def _read(self) -> dict[str, float]:
        """Means since the last report, gradient norms of the last step, and the last kernel distance."""
        norms = {
            f"gradient_norm_{player}": gradient_norm(module)
            for player, (module, _) in self._state.players().items()
        }
        finite = {name: norm for name, norm in norms.items() if math.isfinite(norm)}
        kid = {} if self._quality.latest is None else {"kid": self._quality.latest}
        return self._metrics.read() | finite | kid

    def _eta_seconds(self, rate: float) -> float | None:
        if rate <= 0:
            return None
        config = self._plan.config
        left = max(0, config.total_images - self._state.images_seen) / rate
        if config.max_seconds is not None:
            left = min(left, max(0.0, config.max_seconds - self._watch.seconds()))
        return left
