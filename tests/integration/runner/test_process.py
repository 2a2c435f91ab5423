"""What holds for every runner: it dies with its parent, keeps its protocol clean and its imports few."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.runner.driver import (
    Runner,
    StartRunner,
    item,
    runner_command,
    runner_environment,
)
from tests.integration.runner.nursery import REPOSITORY
from tests.integration.runner.training_setup import ENDLESS_CONFIG, TINY_CONFIG, training_spec
from workers.runner.kinds import HANDLERS
from workers.runner.protocol import (
    CheckpointReady,
    Exit,
    ExitStatus,
    Finished,
    JobItem,
    Progress,
    Ready,
    Start,
    Stop,
    Stopped,
    encode,
    from_runner,
)

DIES_WITHIN_SECONDS = 2.0


def endless_training(packed: Path, tmp_path: Path) -> JobItem:
    return item(tmp_path, training_spec(ENDLESS_CONFIG), inputs={"dataset": packed})


def wait_until_learning(runner: Runner) -> None:
    while runner.wait_for(Progress).current == 0:
        pass


def test_end_of_file_on_stdin_ends_it_in_the_middle_of_training(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    with warm_runner("training", tmp_path) as runner:
        runner.start(endless_training(packed, tmp_path))
        wait_until_learning(runner)
        runner.close_stdin()
        assert runner.exit_status(DIES_WITHIN_SECONDS) == ExitStatus.INFRASTRUCTURE_ERROR
        assert "supervisor is gone" in runner.stderr()


def test_end_of_file_on_stdin_ends_an_idle_runner(warm_runner: StartRunner, tmp_path: Path) -> None:
    with warm_runner("generation", tmp_path) as runner:
        runner.ready()
        runner.close_stdin()
        runner.exit_status(DIES_WITHIN_SECONDS)


def test_it_ends_though_nobody_reads_its_log_any_more(tmp_path: Path) -> None:
    """A killed supervisor takes the reading end of stderr with it, so the runner's last word cannot be written."""
    log_read, log_write = os.pipe()
    with subprocess.Popen(
        runner_command("generation", parent_pid=os.getpid()),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=log_write,
        env=runner_environment(tmp_path),
        cwd=REPOSITORY,
    ) as process:
        os.close(log_write)
        os.close(log_read)
        assert process.stdin is not None
        process.stdin.close()
        try:
            assert process.wait(20) == ExitStatus.INFRASTRUCTURE_ERROR
        finally:
            process.kill()


PARENT = """
import os, subprocess, sys, time
command = [word.replace("PARENT", str(os.getpid())) for word in sys.argv[1:]]
with open(os.environ["OUT"], "wb") as out:
    child = subprocess.Popen(command, stdin=int(os.environ["IN"]), stdout=out, start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_it_dies_with_its_parent_though_its_pipes_stay_open(packed: Path, tmp_path: Path) -> None:
    """The parent is killed with SIGKILL; the writing end of stdin is this test's and stays open."""
    stdin_read, stdin_write = os.pipe()
    command = runner_command("training", parent_pid=0)
    command[command.index("0")] = "PARENT"
    log = tmp_path / "output"
    with log.open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *command],
            stdout=subprocess.PIPE,
            stderr=output,
            env=runner_environment(tmp_path, {"IN": str(stdin_read), "OUT": str(tmp_path / "protocol")}),
            cwd=REPOSITORY,
            pass_fds=(stdin_read,),
        )
    try:
        assert parent.stdout is not None
        runner = psutil.Process(int(parent.stdout.readline()))
        os.write(stdin_write, encode(Start(items=[endless_training(packed, tmp_path)])))
        wait_for_progress(tmp_path / "protocol")
        assert runner.is_running()
        parent.kill()
        parent.wait()
        gone, _ = psutil.wait_procs([runner], timeout=DIES_WITHIN_SECONDS)
        assert gone, log.read_text()
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()
        os.close(stdin_read)
        os.close(stdin_write)


def wait_for_progress(path: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = path.read_bytes().splitlines() if path.exists() else []
        messages = [from_runner.validate_json(line) for line in lines[:-1]]
        if any(isinstance(message, Progress) and message.current > 0 for message in messages):
            return
        time.sleep(0.1)
    raise AssertionError("no progress came")


def test_it_does_not_start_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    with Runner("training", tmp_path, parent_pid=1) as runner:
        assert runner.exit_status() == ExitStatus.INFRASTRUCTURE_ERROR
        assert runner.receive() is None
        assert "parent 1 is gone" in runner.stderr()


NOISE = """
import os, sys, threading, time

def make_noise():
    while "torch" not in sys.modules:
        time.sleep(0.01)
    while True:
        print("a library says hello", flush=True)
        os.write(1, b'{"type": "exit"}\\n')
        time.sleep(0.002)

threading.Thread(target=make_noise, daemon=True).start()
"""


def site_customisation(tmp_path: Path, code: str) -> dict[str, str]:
    """Environment in which Python runs this code before the runner's own."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


def test_what_libraries_print_does_not_reach_the_protocol(packed: Path, tmp_path: Path) -> None:
    """`Runner` takes every line of the runner's stdout for a message, so one stray line fails the test."""
    job = item(tmp_path, training_spec(TINY_CONFIG), inputs={"dataset": packed})
    with Runner("training", tmp_path, environment=site_customisation(tmp_path, NOISE)) as runner:
        runner.start(job)
        runner.wait_for(Finished)
        assert runner.exit_status() == ExitStatus.DONE
        assert runner.receive() is None
        assert runner.stderr().count("a library says hello") > 10


@pytest.mark.parametrize(
    "line",
    [b"hello\n", b'{"type": "start"}\n', b'{"type": "dance"}\n', b"\xff\xfe\n", b"x" * (1 << 20) + b"xx\n"],
    ids=["no-json", "incomplete", "unknown-type", "no-utf8", "too-long"],
)
def test_a_line_that_is_no_message_ends_it_with_a_word(
    warm_runner: StartRunner, line: bytes, tmp_path: Path
) -> None:
    with warm_runner("generation", tmp_path) as runner:
        runner.send_raw(line)
        assert runner.exit_status() == ExitStatus.INFRASTRUCTURE_ERROR
        assert "not a message of the protocol" in runner.stderr()


def test_a_supervisor_of_another_protocol_is_refused(warm_runner: StartRunner, tmp_path: Path) -> None:
    with warm_runner("generation", tmp_path) as runner:
        runner.send(Start(protocol=2, items=[]))
        assert runner.exit_status() == ExitStatus.INFRASTRUCTURE_ERROR
        assert "protocol 2" in runner.stderr()


def test_exit_before_any_work_ends_it_well(warm_runner: StartRunner, tmp_path: Path) -> None:
    with warm_runner("generation", tmp_path) as runner:
        runner.ready()
        runner.send(Exit())
        runner.close_stdin()
        assert runner.exit_status() == ExitStatus.DONE


LIST_MODULES = """
import atexit, json, os, sys

def write():
    with open(os.environ["HOME"] + "/modules.json", "w") as file:
        json.dump(sorted(sys.modules), file)

atexit.register(write)
"""


@pytest.mark.parametrize("kind", sorted(HANDLERS))
def test_it_loads_nothing_of_the_platform(
    kind: str, packed: Path, many: Path, snapshot: Path, tmp_path: Path
) -> None:
    """After real work: no Django, broker, store or database client, no code that uses them, and no compiler."""
    jobs = {
        "training": item(tmp_path, training_spec(TINY_CONFIG), inputs={"dataset": packed}),
        "generation": item(tmp_path, {"count": 3, "seed": 1}, inputs={"snapshot": snapshot}),
        "dataset_import": item(tmp_path, {"source": {"builtin": "digits"}, "name": "digits"}),
        "evaluation": item(tmp_path, {"n": 60, "seed": 4}, inputs={"snapshot": snapshot, "dataset": many}),
    }
    with Runner(kind, tmp_path, environment=site_customisation(tmp_path, LIST_MODULES)) as runner:
        runner.start(jobs[kind])
        runner.wait_for(Finished)
        runner.send(Exit()) if kind == "generation" else None
        assert runner.exit_status() == ExitStatus.DONE
    modules = json.loads((tmp_path / "modules.json").read_text())
    forbidden = {
        "django",
        "rest_framework",
        "aigc_platform",
        "boto3",
        "botocore",
        "celery",
        "kombu",
        "redis",
        "psycopg",
        # What torch's compiler works with: loading it takes longer than a short job.
        "sympy",
    }
    assert not forbidden & {name.split(".")[0] for name in modules}
    assert "torch._dynamo" not in modules
    allowed = {"workers", "workers.runner"}
    others = {
        name for name in modules if name.startswith("workers") and not name.startswith("workers.runner")
    }
    assert others <= allowed
    assert "ml" in modules


def test_threads_and_limits_are_set(tmp_path: Path) -> None:
    with Runner("training", tmp_path, arguments=("--threads", "1")) as runner:
        ready = runner.ready()
        assert (ready.threads, ready.pid) == (1, runner.process.pid)
        process = psutil.Process(ready.pid)
        assert process.rlimit(resource.RLIMIT_CORE) == (0, 0)
        assert process.rlimit(resource.RLIMIT_FSIZE)[0] == 32 << 30
        assert process.rlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_sigusr1_shows_where_it_stands_and_work_goes_on(
    warm_runner: StartRunner, packed: Path, tmp_path: Path
) -> None:
    with warm_runner("training", tmp_path) as runner:
        runner.start(endless_training(packed, tmp_path))
        wait_until_learning(runner)
        runner.process.send_signal(signal.SIGUSR1)
        runner.wait_for(Progress)
        runner.wait_for(Progress)
        stacks = runner.stderr()
        assert "Current thread" in stacks
        assert "ml/train.py" in stacks
        assert "workers/runner/channel.py" in stacks
        runner.send(Stop(mode="abort"))
        runner.wait_for(Stopped)


def test_a_whole_start_may_be_sent_before_it_is_ready(packed: Path, tmp_path: Path) -> None:
    """A stop right behind the start counts for it, however long the libraries take to load."""
    with Runner("training", tmp_path) as runner:
        runner.start(endless_training(packed, tmp_path))
        runner.send(Stop(mode="abort"))
        kinds = [type(message) for message in runner.until_ended()]
        assert kinds[0] is Ready
        assert kinds[-1] is Stopped
        assert CheckpointReady not in kinds
