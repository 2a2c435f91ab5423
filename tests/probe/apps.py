"""Makes the probe kinds known in worker and engine processes, and arms the failpoints that a test names."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from django.apps import AppConfig

from aigc_platform.common import failpoints


class ProbeConfig(AppConfig):
    name = "tests.probe"
    label = "probe"

    def ready(self) -> None:
        import tests.probe.kinds  # noqa: F401 — registers them

        if armed := os.environ.get("FAILPOINT"):
            place, _, marker = armed.partition("=")
            failpoints.arm(place, _die_once(Path(marker)))


def _die_once(marker: Path) -> Callable[[], None]:
    """Kill this process the first time; the file remembers it for the process that comes after."""

    def die() -> None:
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return die
