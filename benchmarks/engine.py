"""What does a job cost the engine? `make bench-engine`.

Real servers and one worker of each side, by turns: jobs that do nothing through the whole life of a job (submit, ring,
claim, lease, runner, fenced finish, events), raw Celery tasks that do nothing, and the usual Celery task that gets a
row and saves it twice. Figures are the worker's processor time a job (parent, child and runner) and jobs a second;
then how long one job takes from submission to its finished row when nothing else waits.

Writes the section between the markers of `benchmarks/results/engine.md`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.sections import write_section  # noqa: E402 - after the path

WARM_UP = 20
PATIENCE_SECONDS = 600.0
_REST_SECONDS = 1.0
"""Before each batch: what the last one left behind is answered."""
_SETTINGS = {"DJANGO_SETTINGS_MODULE": "benchmarks.peer.settings", "LOG_LEVEL": "ERROR"}


@dataclass(frozen=True)
class Cost:
    """Of one batch: worker milliseconds of processor time a job, and jobs a second."""

    cpu_ms: float
    rate: float


def _processor_seconds(process: psutil.Process) -> float:
    """Of a process and all that it has started and that lives."""
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _until(done: Callable[[], bool], *, pause: float) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"The batch was not done within {PATIENCE_SECONDS:.0f} s.")
        time.sleep(pause)


class Engine:
    """Our side: probe jobs without steps or files; with a group key they share a runner's work as generations do."""

    def __init__(self, group_key: str = "") -> None:
        from tests.factories.accounts import make_user

        self._owner = make_user()
        self._group_key = group_key

    def submit(self, count: int) -> list[Any]:
        from django.db import transaction

        from aigc_platform.jobs.services import Submission, submit_job
        from tests.probe.spec import ProbeSpec

        spec = ProbeSpec(steps=0, step_seconds=0, artifacts=0, checkpoint_steps=0)
        options = Submission(group_key=self._group_key)
        with transaction.atomic():
            return [
                submit_job(owner=self._owner, kind="probe.noop", spec=spec, submission=options).pk
                for _ in range(count)
            ]

    def is_done(self, jobs: Sequence[Any]) -> bool:
        from aigc_platform.jobs.models import Job

        return Job.objects.filter(pk__in=jobs, status="succeeded").count() == len(jobs)


class Noop:
    """Raw Celery: a message, an empty function, a counter."""

    def submit(self, count: int) -> int:
        from benchmarks.peer import celery

        goal = celery.counter() + count
        for _ in range(count):
            celery.noop.delay()
        return goal

    def is_done(self, goal: int) -> bool:
        from benchmarks.peer import celery

        return celery.counter() >= goal


class Usual:
    """Celery and the ORM as tutorials show: insert, publish, get, save, save."""

    def submit(self, count: int) -> list[int]:
        from benchmarks.peer import celery
        from benchmarks.peer.models import UsualJob

        rows = [UsualJob.objects.create() for _ in range(count)]
        for row in rows:
            celery.usual.delay(row.pk)
        return [row.pk for row in rows]

    def is_done(self, rows: Sequence[int]) -> bool:
        from benchmarks.peer.models import UsualJob

        return bool(UsualJob.objects.filter(pk__in=rows, status="succeeded").count() == len(rows))


@contextmanager
def _standing_still(worker: psutil.Process) -> Iterator[None]:
    """Stop a worker's processes for a while: what it costs to submit is another question."""
    processes = [worker, *worker.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def batch(side: Any, worker: psutil.Process, count: int) -> Cost:
    """Have the worker find so many in its queue, and wait until all are done."""
    time.sleep(_REST_SECONDS)
    before = _processor_seconds(worker)
    with _standing_still(worker):
        ticket = side.submit(count)
    started = time.monotonic()
    _until(lambda: side.is_done(ticket), pause=0.02)
    seconds = time.monotonic() - started
    return Cost(1000 * (_processor_seconds(worker) - before) / count, count / seconds)


def roundtrips(side: Any, count: int) -> float:
    """Return the median milliseconds from submission to done, one at a time."""
    times = []
    for _ in range(count):
        started = time.monotonic()
        ticket = side.submit(1)
        _until(lambda ticket=ticket: side.is_done(ticket), pause=0.002)  # type: ignore[misc]  # bound now
        times.append(1000 * (time.monotonic() - started))
    return statistics.median(times)


def _start(command: list[str], folder: Path, name: str) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=REPOSITORY,
            env=os.environ | _SETTINGS | {"DATA_DIR": str(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _worker(app: str, queues: str) -> list[str]:
    options = [
        "--pool",
        "prefork",
        "--concurrency",
        "1",
        "-Q",
        queues,
        "--without-mingle",
        "--without-gossip",
    ]
    return ["-m", "celery", "--quiet", "-A", app, "worker", *options]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def compare(folder: Path, *, jobs: int, pairs: int, trips: int) -> str:
    """Run all sides by turns and return the section."""
    processes = [
        _start(["manage.py", "run_engine"], folder, "engine"),
        _start(_worker("workers.app", "gpu.sample"), folder, "ours"),
        _start(_worker("benchmarks.peer.celery", "peer"), folder, "peer"),
    ]
    ours, peer = (psutil.Process(process.pid) for process in processes[1:])
    sides = {
        "engine": (Engine("model"), ours),
        "alone": (Engine(), ours),
        "no-op": (Noop(), peer),
        "usual": (Usual(), peer),
    }
    try:
        for side, worker in sides.values():
            batch(side, worker, WARM_UP)
        costs: dict[str, list[Cost]] = {name: [] for name in sides}
        for _ in range(pairs):
            for name, (side, worker) in sides.items():
                costs[name].append(batch(side, worker, jobs))
        waits = {name: roundtrips(side, trips) for name, (side, _) in sides.items()}
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)
    return _report(costs, waits, jobs=jobs)


def _report(costs: dict[str, list[Cost]], waits: dict[str, float], *, jobs: int) -> str:
    titles = {
        "engine": "the engine, jobs of one model",
        "alone": "the engine, each job alone",
        "no-op": "raw Celery, no-op",
        "usual": "Celery, get + save + save",
    }
    rows = "\n".join(
        f"| {titles[name]} | {statistics.median(cost.cpu_ms for cost in found):.2f} ms | "
        f"{statistics.median(cost.rate for cost in found):.0f} | {waits[name]:.0f} ms |"
        for name, found in costs.items()
    )
    from aigc_platform.studio.kinds import GenerationKind

    def noop(name: str) -> float:
        return _ratio([cost.cpu_ms for cost in costs[name]], [cost.cpu_ms for cost in costs["no-op"]])

    def usual(name: str) -> float:
        return _ratio([cost.rate for cost in costs[name]], [cost.rate for cost in costs["usual"]])

    def trip(name: str) -> float:
        return waits[name] / waits["no-op"]

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    taken = f"{datetime.now().astimezone():%Y-%m-%d %H:%M}, {os.cpu_count()} cores, load at the end {load}"
    return f"""## A job that does nothing

`make bench-engine`, {taken}. {len(costs["engine"])}
turns of {jobs:,} jobs each, which wait in the queue when the clock starts; medians. Processor time is the worker's:
parent, child, and the engine's runner process. Jobs of one model are claimed in groups of up to
{GenerationKind.max_group}, as small generations are; jobs of many models come one by one.

| | processor time a job | jobs a second | submit to done, idle |
|---|---|---|---|
{rows}

| ratio, median of the turns' | jobs of one model | each job alone | target |
|---|---|---|---|
| engine-noop: processor time over raw Celery's | {noop("engine"):.1f} | {noop("alone"):.1f} | at most 3.0 |
| engine-usual: jobs a second over get + save + save | {usual("engine"):.1f} | {usual("alone"):.2f} | at least 3 |
| roundtrip over Celery's no-op | {trip("engine"):.1f} | {trip("alone"):.1f} | at most 3 |
"""


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2000, help="in each batch (default: 2,000)")
    parser.add_argument("--pairs", type=int, default=5, help="turns of all sides (default: 5)")
    parser.add_argument("--trips", type=int, default=50, help="single jobs for the roundtrip (default: 50)")
    arguments = parser.parse_args()
    os.environ.update(_SETTINGS)
    from tests.services import running_services

    with running_services() as services, tempfile.TemporaryDirectory() as folder:
        os.environ.update(services.variables())
        import django

        django.setup()
        from django.db import connection

        from aigc_platform.storage.object_store import get_object_store

        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        get_object_store().ensure_bucket()
        section = compare(Path(folder), jobs=arguments.jobs, pairs=arguments.pairs, trips=arguments.trips)
        connection.close()
    write_section("bench-engine", section)
    print(section)


if __name__ == "__main__":
    main()
