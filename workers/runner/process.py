"""The life of a runner: load one kind's libraries, say so, run what is started, end."""

import logging
import os
import platform
import sys

from workers.runner import failures, isolation
from workers.runner.channel import Channel
from workers.runner.kinds import load_handler
from workers.runner.protocol import ExitStatus, Ready

log = logging.getLogger(__name__)

_REPORTED_LIBRARIES = ("torch", "numpy", "PIL", "safetensors")


def serve(
    kind: str, channel: Channel, *, module: str | None = None, memory_limit_bytes: int | None = None
) -> int:
    """Run jobs of this kind until the handler or the supervisor says that there are no more.

    Args:
        kind: a key of `kinds.HANDLERS`, or any name if `module` is given.
        channel: already listening.
        module: where the handler of a kind comes from that is not built in.
        memory_limit_bytes: address space for the jobs beyond the loaded libraries, if limited.

    Returns:
        The process's exit status.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    handler = load_handler(kind, module)
    device, threads = _compute_resources()
    if memory_limit_bytes is not None:
        if device == "cpu":
            isolation.limit_memory(memory_limit_bytes)
        else:
            log.warning("no memory limit: this runner uses %s", device)
    channel.send(Ready(pid=os.getpid(), device=device, threads=threads, versions=library_versions()))
    while (start := channel.next_start()) is not None:
        try:
            status = handler.run(start, channel)
        except Exception as error:  # noqa: BLE001 - a handler's bug must not leave a job without an end
            for job_id in channel.active_jobs():
                channel.send(failures.describe(job_id, error))
            return ExitStatus.INFRASTRUCTURE_ERROR
        if status is not None:
            return status
    return ExitStatus.DONE


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are loaded: part of what made a result."""
    versions = {"python": platform.python_version()}
    for name in _REPORTED_LIBRARIES:
        module = sys.modules.get(name)
        if module is not None:
            versions[name.lower()] = str(module.__version__)
    return versions


def _compute_resources() -> tuple[str, int]:
    """Kind of device and number of threads that torch uses, as torch itself says; one of each without torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "cpu", 1
    return "cuda" if torch.cuda.is_available() else "cpu", int(torch.get_num_threads())
