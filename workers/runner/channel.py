"""The runner's end of the pipes: messages out from any thread, messages in from one reader thread."""

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Literal

from pydantic import ValidationError

from workers.runner.protocol import (
    MAX_LINE_BYTES,
    PROTOCOL_VERSION,
    CheckpointDone,
    Exit,
    ExitStatus,
    Failed,
    Finished,
    Message,
    Start,
    Stop,
    Stopped,
    encode,
    to_runner,
)

StopMode = Literal["checkpoint", "abort"]

WRAP_UP_SECONDS = 2.0


class Channel:
    """Thread-safe. The supervisor's disappearance ends the process, whatever it is doing."""

    def __init__(
        self,
        incoming: int,
        outgoing: int,
        *,
        end_process: Callable[[int, str], None],
        wrap_up_seconds: float = WRAP_UP_SECONDS,
    ) -> None:
        """Speak over these two descriptors.

        Args:
            incoming: descriptor to read from; closed when its end is reached.
            outgoing: descriptor to write to.
            end_process: called with an exit status and a reason when nobody is left to talk to; ends the
                process at once.
            wrap_up_seconds: how long a process whose jobs have all ended may take to end itself first.
        """
        self._incoming = incoming
        self._outgoing = outgoing
        self._end_process = end_process
        self._wrap_up_seconds = wrap_up_seconds
        self._write_lock = threading.Lock()
        self._starts: queue.SimpleQueue[Start | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        # Guarded by _changed:
        self._active: dict[str, StopMode | None] = {}
        self._checkpoint_answers: dict[tuple[str, int], bool] = {}
        self._may_end = False

    def listen(self) -> None:
        """Start the reader thread."""
        threading.Thread(target=self._read, name="protocol-reader", daemon=True).start()

    def send(self, message: Message) -> None:
        """Write one message. A job's last message also ends what the channel keeps about it.

        Raises:
            ValueError: the message is longer than the protocol allows.
        """
        line = encode(message)
        if len(line) > MAX_LINE_BYTES:
            msg = f"a {type(message).__name__} message of {len(line):,} bytes is above {MAX_LINE_BYTES:,}"
            raise ValueError(msg)
        with self._write_lock:
            self._write(line)
        if isinstance(message, Finished | Stopped | Failed):
            self._forget(message.job_id)

    def next_start(self) -> Start | None:
        """Wait for work; None when there will be no more."""
        return self._starts.get()

    def stop_mode(self, job_id: str) -> StopMode | None:
        """How the supervisor wants this job stopped, if it does. Cheap: made to be asked before every step."""
        return self._active.get(job_id)

    def active_jobs(self) -> list[str]:
        """Jobs that were started and have not ended."""
        return list(self._active)

    def wait_for_checkpoint(self, job_id: str, step: int, *, timeout_seconds: float) -> bool | None:
        """Wait until the checkpoint at `step` is committed (True) or given up (False).

        Returns:
            None if neither happened in time, or the job was aborted meanwhile.
        """

        def is_settled() -> bool:
            return (job_id, step) in self._checkpoint_answers or self._active.get(job_id) == "abort"

        with self._changed:
            self._changed.wait_for(is_settled, timeout_seconds)
            return self._checkpoint_answers.get((job_id, step))

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._outgoing, view) :]
        except BrokenPipeError:
            self._end_process(ExitStatus.INFRASTRUCTURE_ERROR, "the supervisor no longer reads")

    def _forget(self, job_id: str) -> None:
        with self._changed:
            self._active.pop(job_id, None)
            for key in [key for key in self._checkpoint_answers if key[0] == job_id]:
                del self._checkpoint_answers[key]
            self._may_end = True

    def _read(self) -> None:
        with os.fdopen(self._incoming, "rb") as lines:
            while line := lines.readline(MAX_LINE_BYTES + 1):
                try:
                    self._receive(to_runner.validate_json(line))
                except ValidationError:
                    # What was meant is unknown, so waiting could last for ever and going on could be wrong.
                    self._end_process(
                        ExitStatus.INFRASTRUCTURE_ERROR, f"not a message of the protocol: {line[:200]!r}"
                    )
                    return
        self._on_end_of_file()

    def _receive(self, message: Start | Stop | CheckpointDone | Exit) -> None:
        with self._changed:
            if isinstance(message, Start):
                self._accept(message)
            elif isinstance(message, Stop):
                self._note_stop(message)
            elif isinstance(message, CheckpointDone):
                self._checkpoint_answers[message.job_id, message.step] = message.committed
            else:
                self._may_end = True
                self._starts.put(None)
            self._changed.notify_all()

    def _accept(self, start: Start) -> None:
        if start.protocol != PROTOCOL_VERSION:
            self._end_process(
                ExitStatus.INFRASTRUCTURE_ERROR,
                f"the supervisor speaks protocol {start.protocol}, this runner {PROTOCOL_VERSION}",
            )
            return
        # Known from now on, not from when the work begins: a stop may follow at once.
        self._active.update({item.job_id: None for item in start.items})
        self._starts.put(start)

    def _note_stop(self, stop: Stop) -> None:
        jobs = list(self._active) if stop.job_id is None else [stop.job_id]
        for job_id in jobs:
            if job_id in self._active and self._active[job_id] != "abort":
                self._active[job_id] = stop.mode

    def _on_end_of_file(self) -> None:
        with self._changed:
            wrapping_up = self._may_end and not self._active
        if wrapping_up:
            self._starts.put(None)
            time.sleep(self._wrap_up_seconds)
        self._end_process(ExitStatus.INFRASTRUCTURE_ERROR, "the supervisor is gone")
