"""The platform's own processes, as the supervisor starts them."""

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL

from aigc_platform.settings.env import REPOSITORY_DIR
from aigc_platform.standalone.ports import LOOPBACK
from aigc_platform.standalone.processes import ProcessSpec

_GPU_QUEUES = ("gpu.train", "gpu.sample")
_CPU_QUEUES = ("cpu.io",)
# More threads than this only wait for the interpreter's lock.
_API_THREADS = min(8, 2 * (os.cpu_count() or 1) + 1)


def setup(environment: Mapping[str, str]) -> ProcessSpec:
    """Return the program that brings the database, the static files and the first user up to date."""
    return ProcessSpec(
        name="setup",
        command=_manage("prepare_standalone"),
        environment=environment,
        working_folder=REPOSITORY_DIR,
    )


def engine(environment: Mapping[str, str]) -> ProcessSpec:
    """Return relay and reaper. Its work is in the database, so it may be killed at any point."""
    return ProcessSpec(
        name="engine",
        command=_manage("run_engine"),
        environment=environment,
        working_folder=REPOSITORY_DIR,
        stop_seconds=2,
        death_signal=SIGKILL,
    )


def workers(environment: Mapping[str, str], *, gpus: int, each: int = 1) -> tuple[ProcessSpec, ...]:
    """Return the workers of a host: on its GPUs and one for work without, or a single one that does everything.

    Args:
        gpus: how many the host has.
        each: how many of them a worker takes; without GPUs, how many processes share a training out.
    """
    if gpus == 0:
        return (_worker(environment, name="worker", queues=_GPU_QUEUES + _CPU_QUEUES),)
    on_gpus = (
        _worker(
            {**environment, "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(first, first + each)))},
            name=f"worker-gpu{first}",
            queues=_GPU_QUEUES,
        )
        for first in range(0, _workers_on(gpus, each) * each, each)
    )
    alone = {**environment, "WORKER_DEVICE": "cpu", "WORKER_DEVICE_COUNT": "1"}
    return (*on_gpus, _worker(alone, name="worker-cpu", queues=_CPU_QUEUES))


def worker_count(gpus: int, each: int = 1) -> int:
    """Return how many workers `workers` makes."""
    return _workers_on(gpus, each) + 1 if gpus else 1


def _workers_on(gpus: int, each: int) -> int:
    """At least one: where there are too few for it, it says so."""
    return max(1, gpus // each)


def api(environment: Mapping[str, str], *, port: int) -> ProcessSpec:
    """Return the API and the admin; the web server hands out the static files itself."""
    options = {
        "interface": "wsgi",
        "host": LOOPBACK,
        "port": str(port),
        "workers": "1",
        "blocking-threads": str(_API_THREADS),
        "static-path-route": "/static",
        "static-path-mount": str(Path(environment["DATA_DIR"]) / "static"),
        # An upgrade may change a file under the same name.
        "static-path-expires": "300",
        "workers-kill-timeout": "1",
    }
    return ProcessSpec(
        name="api",
        command=(
            sys.executable,
            "-m",
            "granian",
            *(part for option, value in options.items() for part in (f"--{option}", value)),
            "aigc_platform.wsgi:application",
        ),
        environment=environment,
        working_folder=REPOSITORY_DIR,
        stop_seconds=2,
        is_ready=lambda: answers(f"http://{LOOPBACK}:{port}/readyz"),
        ready_seconds=60,
    )


def gpu_count() -> int:
    """Return how many NVIDIA GPUs this machine has, without loading CUDA."""
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=30)
    return (
        sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    )


def _worker(environment: Mapping[str, str], *, name: str, queues: tuple[str, ...]) -> ProcessSpec:
    options = (
        "--pool",
        "prefork",
        "--concurrency",
        "1",
        "--queues",
        ",".join(queues),
        "--hostname",
        f"{name}@%h",
    )
    # Nobody asks workers anything through the broker, and they tell each other nothing.
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", "celery", "--quiet", "-A", "workers.app", "worker", *options, *quiet),
        environment=environment,
        working_folder=REPOSITORY_DIR,
        # Time for a checkpoint; a job that needs more is taken up again from its last one.
        stop_seconds=5.5,
        # A worker without its database would go on computing; the job's next worker starts from the checkpoint.
        death_signal=SIGKILL,
    )


def _manage(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "django", command)


def answers(url: str) -> bool:
    """Return whether a GET of our own loopback address succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback address
            return bool(response.status == 200)
    except OSError:
        return False
