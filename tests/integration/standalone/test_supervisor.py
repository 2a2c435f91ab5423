"""The supervisor with small programs of its own: order, restarts, back-off, and nothing left behind."""

import io
import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.output import Output
from aigc_platform.standalone.processes import ProcessSpec, start, stop
from aigc_platform.standalone.supervisor import Supervisor

pytestmark = pytest.mark.timeout(60)

WAIT = "import time; time.sleep(60)"


def program(name: str, code: str, **options: object) -> ProcessSpec:
    command = (sys.executable, "-u", "-c", code)
    return ProcessSpec(name=name, command=command, environment=dict(os.environ), **options)  # type: ignore[arg-type]


def stopper(seconds: float) -> ProcessSpec:
    """A program that asks its supervisor to stop after some time."""
    code = f"import os, signal, time; time.sleep({seconds}); os.kill(os.getppid(), signal.SIGTERM); {WAIT}"
    return program("stopper", code)


def supervise(*specs: ProcessSpec, output: io.StringIO) -> None:
    with Supervisor(Output(output, names=[spec.name for spec in specs])).running() as supervisor:
        supervisor.start(specs)
        supervisor.watch()


def wait_for(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def test_lines_carry_the_name_of_their_program_also_the_last_one_without_an_end() -> None:
    output = io.StringIO()
    talker = program(
        "talker", f"import sys; print('one'); sys.stdout.write('two'); sys.stdout.flush(); {WAIT}"
    )
    supervise(talker, stopper(1), output=output)
    shown = [line.split(" ", 1)[1] for line in output.getvalue().splitlines()]
    assert "talker     | one" in shown
    assert "talker     | two" in shown
    assert "standalone | Stopping…" in shown


def test_an_ended_program_is_started_again_with_growing_pauses(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    code = f"import time; open({str(starts)!r}, 'a').write(f'{{time.monotonic()}}\\n'); raise SystemExit(3)"
    output = io.StringIO()
    supervise(program("fragile", code), stopper(5), output=output)
    times = [float(line) for line in starts.read_text().splitlines()]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert len(pauses) == 2
    assert 1 <= pauses[0] < 2
    assert 2 <= pauses[1] < 3.5
    assert "fragile ended with code 3; starting it again in 1 s" in output.getvalue()
    assert "fragile ended with code 3; starting it again in 4 s" in output.getvalue()


def test_programs_stop_in_the_opposite_order_of_starting(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(0.2)\n"
        f"    open({str(order)!r}, 'a').write(sys.argv[1] + '\\n')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "time.sleep(60)\n"
    )
    specs = [
        ProcessSpec(name=name, command=(sys.executable, "-c", code, name), environment=dict(os.environ))
        for name in ("first", "second", "third")
    ]
    supervise(*specs, stopper(1), output=io.StringIO())
    assert order.read_text().split() == ["third", "second", "first"]


def test_a_program_that_ignores_the_request_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-c', {WAIT!r}])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)\n"
    )
    output = io.StringIO()
    started_at = time.monotonic()
    supervise(program("stubborn", code, stop_seconds=0.5), stopper(1), output=output)
    assert time.monotonic() - started_at < 10
    assert "stubborn did not stop in 0.5 s and was killed" in output.getvalue()
    own, child = map(int, pids.read_text().split())
    wait_for(lambda: not psutil.pid_exists(own) and not _runs(child))


def test_a_program_that_never_serves_ends_the_start_with_its_last_words() -> None:
    spec = program("mute", "print('the disk is full'); raise SystemExit(2)", is_ready=lambda: False)
    output = io.StringIO()
    with pytest.raises(StandaloneError, match="mute ended with code 2"):
        supervise(spec, output=output)
    assert "the disk is full" in output.getvalue()


def test_a_server_that_never_serves_shows_the_end_of_its_log(tmp_path: Path) -> None:
    spec = program(
        "mute",
        "print('the disk is full'); raise SystemExit(2)",
        is_ready=lambda: False,
        log_path=tmp_path / "log",
    )
    with pytest.raises(StandaloneError, match=r"(?s)mute ended with code 2.*the disk is full"):
        start(spec)


def test_setup_that_fails_ends_the_start() -> None:
    supervisor = Supervisor(Output(io.StringIO(), names=()))
    with supervisor.running(), pytest.raises(StandaloneError, match="setup failed with code 4"):
        supervisor.run_once(program("setup", "raise SystemExit(4)"))


def test_signal_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    supervise(stopper(0.1), output=io.StringIO())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_output_survives_a_reader_that_went_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        Output(stream, names=()).say("nobody hears this")
        # The buffer of the broken pipe must not raise again when it is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_program_dies_with_its_supervisor(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import os, sys, time\n"
        "from aigc_platform.standalone.processes import ProcessSpec, spawn\n"
        f"spec = ProcessSpec(name='x', command=(sys.executable, '-c', {WAIT!r}), environment=dict(os.environ))\n"
        f"open({str(pid_file)!r}, 'w').write(str(spawn(spec, output=1).pid))\n"
        "time.sleep(60)\n"
    )
    parent = program("parent", code, log_path=tmp_path / "log", is_ready=lambda: _has_content(pid_file))
    process = start(parent)
    try:
        grandchild = psutil.Process(int(pid_file.read_text()))
        assert grandchild.is_running()
        process.kill()
        process.wait()
        wait_for(lambda: not _runs(grandchild.pid))
    finally:
        stop(process, parent)


def _has_content(path: Path) -> bool:
    return path.exists() and bool(path.read_text())


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
