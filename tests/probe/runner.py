"""The probe's side of the runner: counts, checkpoints, names files, and misbehaves where its spec says so."""

import errno
import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from tests.probe.spec import ProbeSpec
from workers.runner.channel import Channel
from workers.runner.checkpoints import CheckpointHandover
from workers.runner.job import Job
from workers.runner.protocol import ExitStatus, Start, Stopped

_STATE_FILE = "state.json"


def create_handler() -> "ProbeHandler":
    return ProbeHandler()


class ProbeHandler:
    """Runs its jobs one after the other and waits for more."""

    def run(self, start: Start, channel: Channel) -> ExitStatus | None:
        for item in start.items:
            job = Job(item, channel)
            try:
                _Count(job, channel).run()
            except Exception as error:  # noqa: BLE001 — the job's end must be told
                job.fail(error)
        return None


def chain(seed: int, steps: int, state: str = "", first: int = 0) -> str:
    """Return the state after `steps`; what a job computes, however often it was interrupted."""
    for step in range(first, steps):
        state = hashlib.sha256(f"{state}/{seed}/{step}".encode()).hexdigest()
    return state


class _Count:
    def __init__(self, job: Job, channel: Channel) -> None:
        self._job = job
        self._channel = channel
        self._spec = ProbeSpec.model_validate(job.item.spec)
        self._handover = CheckpointHandover(job)
        self._step, self._state = _resume(job.item.resume)

    def run(self) -> None:
        spec = self._spec
        while self._step < spec.steps:
            if self._job.stop_mode() is not None and spec.misbehaviour != "be deaf":
                self._stop()
                return
            self._misbehave()
            time.sleep(spec.step_seconds)
            self._state = chain(spec.seed, self._step + 1, self._state, self._step)
            self._step += 1
            self._note_step()
            self._job.progress(self._step, spec.steps, "steps", at_once=True)
            if spec.checkpoint_steps and self._step % spec.checkpoint_steps == 0:
                self._handover.offer(self._write_state(), self._step, stall_ms=0.1)
        for index in range(spec.artifacts):
            path = self._job.workspace / f"result-{index}.json"
            path.write_text(json.dumps({"state": self._state, "index": index}))
            self._job.artifact("data", path, index=index)
        self._job.finish({"state": self._state})

    def _stop(self) -> None:
        stored = False
        if self._job.stop_mode() == "checkpoint":
            stored = self._handover.deliver_last(self._write_state(), self._step)
        self._job.stop(checkpointed=stored)

    def _write_state(self) -> Path:
        folder = self._job.folder(f"state-{self._step}")
        (folder / _STATE_FILE).write_text(json.dumps({"step": self._step, "state": self._state}))
        padding = hashlib.sha256(self._state.encode()).digest() * (self._spec.padding_bytes // 32)
        (folder / "padding.bin").write_bytes(padding)
        return folder

    def _note_step(self) -> None:
        if self._spec.ledger:
            line = (
                f"{self._job.id} {self._job.item.attempt} {self._step} {time.monotonic():.3f} {os.getpid()}\n"
            )
            with Path(self._spec.ledger).open("a") as ledger:
                ledger.write(line)

    def _misbehave(self) -> None:
        spec = self._spec
        if self._step != spec.at_step or self._job.item.attempt > spec.bad_attempts:
            return
        act = getattr(self, f"_{spec.misbehaviour.replace(' ', '_')}", None)
        if act is not None:
            act()

    def _segfault(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _exit_silently(self) -> NoReturn:
        os._exit(0)

    def _raise(self) -> NoReturn:
        raise KeyError("a mistake of ours")

    def _out_of_memory(self) -> NoReturn:
        raise MemoryError

    def _eat_memory(self) -> None:
        bytearray(1 << 30)

    def _fill_the_disk(self) -> None:
        with (self._job.workspace / "everything").open("wb") as file:
            for _ in range(10_000):
                file.write(bytes(1 << 20))
        raise OSError(errno.ENOSPC, "the disk is larger than this test thought")

    def _hang(self) -> None:
        time.sleep(3600)

    def _freeze(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def _close_the_pipe(self) -> None:
        os.close(self._channel._outgoing)
        time.sleep(3600)

    def _print_garbage(self) -> None:
        self._channel._write(b"\x00\xff not a message\n")
        time.sleep(3600)

    def _print_an_endless_line(self) -> None:
        while True:
            self._channel._write(b"x" * 65536)

    def _say_something_unknown(self) -> None:
        self._channel._write(b'{"type": "exec", "job_id": "x", "command": "rm"}\n')
        time.sleep(3600)

    def _speak_of_another_job(self) -> None:
        other = "00000000-0000-7000-8000-000000000000"
        self._channel._write(f'{{"type":"finished","job_id":"{other}","result":{{}}}}\n'.encode())
        time.sleep(3600)

    def _name_a_file_outside(self) -> None:
        self._name("../../../../../../etc/hostname")

    def _name_a_link(self) -> None:
        (self._job.workspace / "link.json").symlink_to("/etc/hostname")
        self._name("link.json")

    def _name_a_missing_file(self) -> None:
        self._name("nowhere.json")

    def _name_a_file_twice(self) -> None:
        path = self._job.workspace / "surplus.json"
        path.write_text("{}")
        self._job.artifact("data", path, index=0)

    def _name(self, path: str) -> None:
        facts = {
            "type": "artifact",
            "job_id": self._job.id,
            "role": "data",
            "index": 7,
            "path": path,
            "media_type": "application/json",
            "filename": "x.json",
        }
        self._channel._write(json.dumps(facts).encode() + b"\n")
        time.sleep(3600)

    def _stop_unasked(self) -> None:
        self._channel.send(Stopped(job_id=self._job.id, checkpointed=True))
        time.sleep(3600)

    def _name_a_missing_checkpoint(self) -> None:
        self._channel._write(
            f'{{"type":"checkpoint","job_id":"{self._job.id}","folder":"nowhere","step":1}}\n'.encode()
        )
        time.sleep(3600)


def _resume(folder: str | None) -> tuple[int, str]:
    if folder is None:
        return 0, ""
    state = json.loads((Path(folder) / _STATE_FILE).read_text())
    return state["step"], state["state"]
