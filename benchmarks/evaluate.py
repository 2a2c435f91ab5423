"""How long an evaluation takes and how much memory: 10,000 samples against 10,000 held-out images.

    python benchmarks/evaluate.py                     an untrained DCGAN of the default size, Fashion-MNIST
    python benchmarks/evaluate.py --snapshot run/snapshot

Time and memory do not depend on what a generator learned. Fashion-MNIST's training split holds 60,000 images, so a
fifth is held out to have 10,000. Wall time counts everything from the snapshot's folder to the report; the peak is
that of the whole process, torch and the data set included.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from ml.threads import apply_thread_rule

THREADS = apply_thread_rule(1)

import torch  # noqa: E402 - after the thread rule, which must come before torch

from ml.checkpoint import SnapshotDocument, save_snapshot  # noqa: E402
from ml.data.named import load_dataset  # noqa: E402
from ml.evaluate import evaluate  # noqa: E402
from ml.networks.build import build_generator  # noqa: E402
from ml.networks.spec import DcganGeneratorSpec  # noqa: E402

TARGET_SECONDS = 30.0
TARGET_MIB = 1024.0


def untrained_snapshot(folder: Path, classes: Sequence[str]) -> Path:
    """Save a generator of the default DCGAN's size with random weights."""
    torch.manual_seed(0)
    spec = DcganGeneratorSpec(px=28, image_channels=1, classes=len(classes), latent_size=64, channels=32)
    document = SnapshotDocument(
        generator=spec, classes=tuple(classes), recipe="dcgan", config={}, images_seen=0, dataset={}
    )
    save_snapshot(folder / "snapshot", build_generator(spec), document)
    return folder / "snapshot"


class StageClock:
    """Notes how long each stage took: wall and processor seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self._stage = "preparation"
        self._since = time.perf_counter(), time.process_time()

    def __call__(self, stage: str, _done: float) -> None:
        """Close the stage before this one."""
        now = time.perf_counter(), time.process_time()
        wall, cpu = self.seconds.get(self._stage, (0.0, 0.0))
        self.seconds[self._stage] = wall + now[0] - self._since[0], cpu + now[1] - self._since[1]
        self._stage, self._since = stage, now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--snapshot", type=Path)
    parser.add_argument("--holdout", type=float, default=0.2)
    options = parser.parse_args()

    data = load_dataset(options.dataset)
    clock = StageClock()
    with tempfile.TemporaryDirectory() as folder:
        snapshot = options.snapshot or untrained_snapshot(Path(folder), data.classes)
        cpu, wall, load = time.process_time(), time.perf_counter(), os.getloadavg()[0]
        report = evaluate(snapshot, data, n=options.n, holdout=options.holdout, on_stage=clock)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    clock("end", 1.0)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    for stage, (stage_wall, stage_cpu) in clock.seconds.items():
        print(f"{stage:34} wall {stage_wall:5.1f} s   CPU {stage_cpu:5.1f} s")
    print(
        f"{report.n:,} against {report.n:,}, {len(report.figures)} figures, {THREADS} threads, load {load:.1f}"
    )
    print(f"wall {wall:.1f} s (target {TARGET_SECONDS:.0f}), CPU {cpu:.1f} s")
    print(f"peak {peak_mib:.0f} MiB (target {TARGET_MIB:.0f})")


if __name__ == "__main__":
    main()
