"""The settings of both sides: the probe kinds for the engine, the usual row for its peer."""

from tests.probe.settings import *  # noqa: F403
from tests.probe.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.peer.apps.PeerConfig"]
