"""Makes the probe kinds known in worker and engine processes, and arms the failpoints that a test names."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from django.apps import AppConfig

from aigc_platform.common import failpoints

STOP = "stop"
FAILPOINTS = (
    "job.claimed",
    "lease.renewing",
    "checkpoint.uploading",
    "checkpoint.uploaded",
    "checkpoint.committed",
    "results.uploaded",
    "results.published",
    "rings.published",
)


class ProbeConfig(AppConfig):
    name = "tests.probe"
    label = "probe"

    def ready(self) -> None:
        import tests.probe.kinds  # noqa: F401 — registers them
        from aigc_platform.studio.kinds import TrainingKind

        TrainingKind.runner = "tests.probe.mortal_training"

        folder = os.environ.get("FAILPOINT_FOLDER")
        if folder:
            for place in FAILPOINTS:
                failpoints.arm(place, _die_if_asked(Path(folder) / place))


def _die_if_asked(request: Path) -> Callable[[], None]:
    """Kill this process if a file asks for it, or stop it if the file says so.

    The file is gone then, so that the next process lives.
    """

    def die() -> None:
        try:
            wish = request.read_text()
            request.unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGSTOP if wish == STOP else signal.SIGKILL)

    return die
