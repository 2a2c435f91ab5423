"""`python -m workers.runner`: run jobs of one kind for the supervisor that started this process.

Everything that must hold before torch loads is done here, in this order: die with the parent, keep the
protocol's pipes apart, limits, thread variables. None of the modules imported here loads torch.
"""

import argparse
import os
import socket
import sys

from ml.threads import usable_cores
from workers.runner import isolation
from workers.runner.channel import Channel
from workers.runner.kinds import HANDLERS
from workers.runner.process import serve
from workers.runner.protocol import ExitStatus


def main() -> int:
    """Run until the work is done or the supervisor is gone; return the exit status (`ExitStatus`)."""
    arguments = _parse_arguments()
    if not isolation.die_with_parent(arguments.parent_pid):
        isolation.end_now(ExitStatus.INFRASTRUCTURE_ERROR, f"parent {arguments.parent_pid} is gone")
    incoming, outgoing = isolation.take_protocol_pipes()
    isolation.dump_stacks_on_signal()
    isolation.limit_resources()
    _limit_threads(arguments.threads or usable_cores())
    _stay_on_this_host()
    _wait_little_for_trackers()

    channel = Channel(incoming, outgoing, end_process=isolation.end_now)
    channel.listen()
    return serve(
        arguments.kind,
        channel,
        module=arguments.handler,
        memory_limit_bytes=arguments.memory_limit_bytes,
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.runner", description=__doc__)
    parser.add_argument("--kind", required=True, help=f"kind of jobs to run: {', '.join(sorted(HANDLERS))}")
    parser.add_argument("--handler", help="module that runs them, for a kind that is none of these")
    parser.add_argument("--parent-pid", required=True, type=int, help="process to die with")
    parser.add_argument("--threads", type=_positive, help="compute threads (default: all cores we may use)")
    parser.add_argument(
        "--memory-limit-bytes",
        type=_positive,
        help="address space for the jobs, beyond the loaded libraries; not applied on a GPU",
    )
    arguments = parser.parse_args()
    if arguments.handler is None and arguments.kind not in HANDLERS:
        parser.error(f"there is no kind {arguments.kind!r}; name its --handler, or one of {sorted(HANDLERS)}")
    return arguments


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _limit_threads(threads: int) -> None:
    """Tell the compute libraries, which read these variables once, when they load."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Waiting threads sleep instead of spinning: with neighbours on the cores, spinning costs 6-100 times.
    os.environ["OMP_WAIT_POLICY"] = "passive"


def _stay_on_this_host() -> None:
    """Have the processes of a training meet on the loopback interface: nobody else is to hear or join them."""
    loopback = next((name for _, name in socket.if_nameindex() if name in {"lo", "lo0"}), None)
    if loopback is not None:
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = loopback


def _wait_little_for_trackers() -> None:
    """MLflow's client waits for minutes by default, in which the job could neither report nor be stopped."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


if __name__ == "__main__":
    sys.exit(main())
