"""How many threads torch may use: the cores of this process, shared between the workers of the host.

torch's default is one thread a core in every process. With one worker process a core as well, threads wait
for descheduled threads, and training and sampling become several times to a hundred times slower.
"""

import math
import os
from pathlib import Path

_CGROUP_V2_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Cores this process may use: its CPU affinity, lowered by the container's CPU quota."""
    cores = len(os.sched_getaffinity(0))
    quota = _cgroup_quota_cores(_CGROUP_V2_LIMIT)
    return max(1, min(cores, math.ceil(quota)) if quota else cores)


def _cgroup_quota_cores(limit_file: Path) -> float | None:
    """Cores' worth of CPU time a cgroup (v2) grants, or None when it sets no limit."""
    try:
        quota, period = limit_file.read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def thread_count(workers_on_host: int) -> int:
    """Threads for one of `workers_on_host` processes that compute at the same time on this machine."""
    return max(1, usable_cores() // max(1, workers_on_host))


def apply_thread_rule(workers_on_host: int) -> int:
    """Load torch with its share of the cores and return that number of threads.

    Call it in a process's entry point, before anything else imports torch, with OMP_WAIT_POLICY=passive in
    the environment: OpenMP reads that once, when torch loads, and without it idle threads spin.

    Args:
        workers_on_host: processes on this machine that compute at the same time, at least 1.
    """
    threads = thread_count(workers_on_host)
    import torch

    torch.set_num_threads(threads)
    return threads
