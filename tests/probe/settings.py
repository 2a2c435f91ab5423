"""The test settings plus the probe kinds: what worker and engine processes of the fault tests run with."""

from aigc_platform.settings.testing import *  # noqa: F403
from aigc_platform.settings.testing import INSTALLED_APPS

CANCEL_GRACE_SECONDS = 2.0
# Shorter than operators may choose: a training of seconds has to leave many states behind.
CHECKPOINT_SECONDS = 0.3

INSTALLED_APPS = [*INSTALLED_APPS, "tests.probe.apps.ProbeConfig"]
