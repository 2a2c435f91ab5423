"""Child processes: what they are, how they start, and how they never outlive us."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from aigc_platform.settings.env import process_environment
from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.unprivileged import is_root, leave_root

_PR_SET_PDEATHSIG = 1
_LOG_MAX_BYTES = 16 * 1024**2
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class ProcessSpec:
    """One program of the stack.

    Attributes:
        name: shown before its log lines.
        command: argument list; no shell.
        environment: the whole environment of the process.
        stop_signal: asks the program to end in order.
        stop_seconds: how long it may take before its process group is killed.
        death_signal: what the kernel sends it when we die without a word.
        log_path: file for its output; None sends its lines to the terminal.
        is_ready: tells whether it serves yet; None means that nothing waits for it.
        ready_seconds: how long it may take to serve.
        without_root: the program refuses to run as root.
        working_folder: where it starts; None means ours.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5
    death_signal: signal.Signals = signal.SIGTERM
    log_path: Path | None = None
    is_ready: Callable[[], bool] | None = field(default=None, compare=False)
    ready_seconds: float = 30
    without_root: bool = False
    working_folder: Path | None = None


def spawn(spec: ProcessSpec, *, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the program in a session of its own, bound to our life.

    Its own session keeps the terminal's Ctrl-C away from it, so that we alone decide the order of stopping. Call
    this from the main thread: Linux sends the death signal when the *thread* that started the child ends.
    """
    parent_pid = os.getpid()

    def prepare_child() -> None:
        if spec.without_root and is_root():
            leave_root()
        _die_with(parent_pid, spec.death_signal)

    return subprocess.Popen(
        spec.command,
        env=dict(spec.environment),
        cwd=spec.working_folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=prepare_child,  # noqa: PLW1509 - system calls only, and no thread runs beside us
    )


def run_to_end(spec: ProcessSpec) -> tuple[int, str]:
    """Run a short program; return its exit code and what it printed."""
    process = spawn(spec, output=subprocess.PIPE)
    printed, _ = process.communicate()
    return process.returncode, printed.decode(errors="replace")


def start(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    """Start a program that logs to a file and wait until it serves.

    Raises:
        StandaloneError: it ended, or served nothing in time; the message carries the end of its log.
    """
    if spec.log_path is None:
        raise ValueError(f"{spec.name} has no log file")
    with open_log(spec.log_path) as log:
        process = spawn(spec, output=log)
    try:
        _wait_until_ready(process, spec)
    except BaseException:
        stop(process, spec)
        raise
    return process


def _wait_until_ready(process: subprocess.Popen[bytes], spec: ProcessSpec) -> None:
    deadline = time.monotonic() + spec.ready_seconds
    while spec.is_ready is not None and not spec.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StandaloneError(failure(spec, process.returncode))
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], spec: ProcessSpec) -> None:
    """End a program: ask, wait as long as it may take, then kill what is left of its group."""
    if process.poll() is None:
        process.send_signal(spec.stop_signal)
        try:
            process.wait(spec.stop_seconds)
        except subprocess.TimeoutExpired:
            kill_group(process)
            process.wait()
    kill_group(process)


def open_log(path: Path) -> IO[bytes]:
    """Open a log file for appending; a large one from earlier is put aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def failure(spec: ProcessSpec, exit_code: int | None) -> str:
    """Return what to tell a person about a program that does not run, with the end of its log."""
    reason = (
        f"ended with code {exit_code}"
        if exit_code is not None
        else f"did not serve in {spec.ready_seconds:g} s"
    )
    sentence = f"{spec.name} {reason}"
    if spec.log_path is None:
        return sentence
    lines = spec.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    return "\n  ".join([f"{sentence}; the end of {spec.log_path}:", *lines])


def server_environment() -> dict[str, str]:
    """Return what a foreign server gets to see of our environment: no secret of the platform, no option by accident."""
    ours = process_environment()
    return {name: ours[name] for name in ("PATH", "HOME", "TMPDIR", "LANG", "TZ") if name in ours}


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the session that the process leads."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nobody is left; macOS says "not permitted" for a group of zombies.
        return


def _die_with(parent_pid: int, death_signal: signal.Signals) -> None:
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent_pid:
        # The parent died before the kernel knew of us.
        os.kill(os.getpid(), signal.SIGKILL)
