"""Real engines and workers that run probe jobs, and what a fault test asks about them."""

import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from django.db import connection

from aigc_platform.accounts.models import User
from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job, Worker, WorkerState
from aigc_platform.jobs.selectors import live_workers
from aigc_platform.jobs.services import Submission, submit_job
from aigc_platform.jobs.states import JobStatus
from aigc_platform.storage.object_store import get_object_store
from tests.factories.accounts import make_user
from tests.probe import kinds  # registers the probe kinds in this process
from tests.probe.runner import chain
from tests.probe.spec import ProbeSpec
from tests.processes import ALL_QUEUES, PlatformProcesses, wait_for

PROBE = kinds.ProbeKind.name
GROUP = kinds.GroupedProbeKind.name
CONFINED = kinds.ConfinedProbeKind.name

IS_MEASURED = "FAULT_RECORD" in os.environ
"""Figures are wanted, so a test may do more of what it does."""
HAS_DEFAULT_LEASES = os.environ.get("FAULT_LEASES") == "default"
"""The leases that operators get, which take a minute to run out, in place of the tests' short ones."""
LEASE_SECONDS = 60 if HAS_DEFAULT_LEASES else 5
HEARTBEAT_SECONDS = 10 if HAS_DEFAULT_LEASES else 1
_LEASES = {
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    "REAPER_INTERVAL_SECONDS": "5" if HAS_DEFAULT_LEASES else "0.5",
}
_SETTINGS = _LEASES | {
    "DJANGO_SETTINGS_MODULE": "tests.probe.settings",
    "RECOVERY_DELAY_SECONDS": "0.2",
    "STALL_SECONDS": "12",
    "DATABASE_ANSWER_SECONDS": "2",
}


@dataclass(frozen=True)
class Step:
    """One executed step of a job, as its runner noted it."""

    attempt: int
    number: int
    at: float
    pid: int


class FaultStack(PlatformProcesses):
    """Starts processes with the probe kinds, short leases and whatever addresses a test puts in between."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder)
        self._environment = _SETTINGS | {"FAILPOINT_FOLDER": str(folder)} | environment
        self.owner: User = make_user()
        self.engines: list[subprocess.Popen[bytes]] = []
        self.submitted: list[Job] = []
        """Every job of this stack, in order."""
        self._workers: list[subprocess.Popen[bytes]] = []

    def start_engine(self, **environment: str) -> subprocess.Popen[bytes]:
        engine = super().start_engine(**(self._environment | environment))
        self.engines = [*(old for old in self.engines if old.poll() is None), engine]
        return engine

    def need_engines(self, count: int) -> list[subprocess.Popen[bytes]]:
        """Return so many living engines, started only where earlier tests left fewer."""
        self.engines = [engine for engine in self.engines if engine.poll() is None]
        while len(self.engines) < count:
            self.start_engine()
        return self.engines

    def start_worker(
        self, queues: Sequence[str] = ALL_QUEUES, *, options: Sequence[str] = (), **environment: str
    ) -> subprocess.Popen[bytes]:
        worker = super().start_worker(queues, options=options, **(self._environment | environment))
        self._workers.append(worker)
        return worker

    def need_workers(self, count: int) -> list[subprocess.Popen[bytes]]:
        """Return so many living workers, ready for work, started only where earlier tests left fewer."""
        self._workers = self.workers
        while len(self._workers) < count:
            self.start_worker()
        wait_for(lambda: len(ready_workers()) >= count, seconds=60, what=f"{count} ready workers")
        return self._workers[:count]

    @property
    def workers(self) -> list[subprocess.Popen[bytes]]:
        """The workers that live."""
        return [worker for worker in self._workers if worker.poll() is None]

    def tend(self, *, engines: int, workers: int) -> None:
        """Start what has died again, as a service manager would, without waiting for it."""
        for _ in range(workers - len(self.workers)):
            self.start_worker()
        self.need_engines(engines)

    def stop_workers(self) -> None:
        """End all workers in order; their jobs go back to the queue."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.wait(30)
        self._workers.clear()

    def holder_of(self, job: Job) -> subprocess.Popen[bytes]:
        """Return the worker (its parent process) that holds the job, once somebody does."""

        def found() -> subprocess.Popen[bytes] | None:
            job.refresh_from_db()
            if job.lease_worker is None:
                return None
            parent = psutil.Process(job.lease_worker.pid).ppid()
            return next((worker for worker in self._workers if worker.pid == parent), None)

        return wait_for(found, seconds=20, what=f"holder of {job}")

    def log_sizes(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in self.folder.glob("*.log")}

    def log_since(self, sizes: dict[Path, int]) -> str:
        """Return what the processes have printed since `log_sizes` was asked."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            with path.open("rb") as log:
                log.seek(sizes.get(path, 0))
                if new := log.read().decode(errors="replace"):
                    parts.append(f"--- {path.name}\n{new}")
        return "\n".join(parts)

    def submit(self, *, kind: str = PROBE, options: Submission | None = None, **spec: Any) -> Job:
        """Queue a probe job that notes its steps."""
        content = ProbeSpec(ledger=str(self.folder / "ledger"), **spec)
        job = submit_job(owner=self.owner, kind=kind, spec=content, submission=options)
        self.submitted.append(job)
        return job

    def let_die_at(self, place: str) -> Path:
        """Let the next process that reaches the failpoint die there; the returned file is gone when it has."""
        request = self.folder / place
        request.touch()
        return request

    def steps(self, job: Job) -> list[Step]:
        """Return every step that any attempt of the job has executed, in order of time."""
        return self.all_steps().get(str(job.pk), [])

    def all_steps(self) -> dict[str, list[Step]]:
        """Return the steps of every job by the job's id."""
        ledger = self.folder / "ledger"
        found: dict[str, list[Step]] = {}
        for line in ledger.read_text().splitlines() if ledger.exists() else ():
            job, attempt, number, at, pid = line.split()
            found.setdefault(job, []).append(Step(int(attempt), int(number), float(at), int(pid)))
        return found

    def wait_for_step(self, job: Job, number: int, *, attempt: int = 1, seconds: float = 30) -> Step:
        def reached() -> Step | None:
            found = [step for step in self.steps(job) if step.attempt >= attempt and step.number >= number]
            return found[0] if found else None

        return wait_for(reached, seconds=seconds, what=f"step {number} of attempt {attempt}")


def ready_workers() -> list[Worker]:
    """Return the workers that beat and wait for work."""
    return [
        worker for worker in live_workers().filter(state=WorkerState.READY) if psutil.pid_exists(worker.pid)
    ]


def status_of(job: Job) -> str:
    job.refresh_from_db()
    return job.status


def wait_for_status(job: Job, *statuses: JobStatus, seconds: float = 30) -> Job:
    what = f"{' or '.join(statuses)} of {job}"
    wait_for(lambda: status_of(job) in statuses, seconds=seconds, what=what)
    return job


def wait_for_end(job: Job, *, seconds: float = 60) -> Job:
    wait_for(lambda: status_of(job) and job.is_terminal, seconds=seconds, what=f"end of {job}")
    return job


def wait_for_checkpoint(job: Job, *, seconds: float = 30) -> Checkpoint:
    newest = Checkpoint.objects.filter(job=job).order_by("-fence", "-step")
    return wait_for(newest.first, seconds=seconds, what=f"checkpoint of {job}")


def attempts(job: Job) -> list[Attempt]:
    return list(Attempt.objects.filter(job=job).order_by("number"))


def child_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """Return the worker's one pool child, which is the supervisor."""

    def found() -> psutil.Process | None:
        with suppress(psutil.NoSuchProcess):
            return next(iter(psutil.Process(worker.pid).children()), None)
        return None

    return wait_for(found, seconds=20, what=f"child of worker {worker.pid}")


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_result_is_right(job: Job) -> None:
    """One attempt's files, all of them, with the bytes that a calm run would have made."""
    spec = ProbeSpec.model_validate(job.spec)
    assert job.status == JobStatus.SUCCEEDED, f"{job.status_reason}: {job.error}"
    assert job.output == {"state": chain(spec.seed, spec.steps), "files": spec.artifacts}
    artifacts = list(Artifact.objects.filter(job=job, is_preview=False).order_by("index"))
    assert [artifact.index for artifact in artifacts] == list(range(spec.artifacts))
    assert len({artifact.fence for artifact in artifacts}) <= 1
    for artifact in artifacts:
        content = get_object_store().get_range(artifact.key, 0, artifact.size)
        assert hashlib.sha256(content).hexdigest() == artifact.sha256


@contextmanager
def durable_database() -> Iterator[None]:
    """Have PostgreSQL keep what it has confirmed when it crashes; the tests' server is told not to, for speed.

    Connections that are open already go on as before: use it before any process starts.
    """
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} SET synchronous_commit TO on")
    connection.close()
    try:
        yield
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {database} RESET synchronous_commit")
