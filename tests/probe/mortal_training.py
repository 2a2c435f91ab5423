"""The real training runner, which dies in the middle of writing a training state if a file asks for it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ml.checkpoint
from ml.files import write_json
from tests.probe.spec import WRITING_FAILPOINT
from workers.runner import training
from workers.runner.training import TrainingHandler


def create_handler() -> TrainingHandler:
    """Return the real handler, after putting a trap before each write that makes a training state durable."""
    # A runner's home is its worker's scratch folder: DATA_DIR/scratch/<worker>.
    trap = _Trap(Path(os.environ["HOME"]).parents[1] / WRITING_FAILPOINT)
    patch.object(ml.checkpoint, "write_json", trap.before(write_json)).start()
    patch.object(os, "fsync", trap.before(os.fsync)).start()
    return training.create_handler()


class _Trap:
    """Kills this process before a write; the file that asks for it says how many writes to let pass first."""

    def __init__(self, request: Path) -> None:
        self._request = request
        self._passed = 0

    def before(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def die_or_write(*arguments: Any) -> Any:
            if self._request.exists():
                if self._passed >= int(self._request.read_text() or "0"):
                    self._request.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
                self._passed += 1
            return write(*arguments)

        return die_or_write
