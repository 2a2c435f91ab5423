"""Loops that the engine runs beside its own, for apps above this one, which this one must not know."""

import threading
from collections.abc import Callable
from typing import Protocol


class EngineLoop(Protocol):
    """One more thread of every engine process; made, called and closed in that thread."""

    def step(self, stopping: threading.Event) -> None:
        """Do what is due, or wait a little where nothing is; never for long once `stopping` is set.

        Called again and again. What it raises is logged, and the loop goes on.
        """

    def close(self) -> None:
        """End in order: the engine stops."""


_makers: dict[str, Callable[[], EngineLoop]] = {}


def register_loop(name: str, make: Callable[[], EngineLoop]) -> None:
    """Have every engine run such a loop in a thread of this name. Once for each app, in its `ready()`."""
    if name in _makers:
        raise ValueError(f"engine loop {name!r} is registered twice")
    _makers[name] = make


def registered_loops() -> dict[str, Callable[[], EngineLoop]]:
    return dict(_makers)
