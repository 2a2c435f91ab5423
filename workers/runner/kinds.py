"""Which module runs which kind of job. A new kind is one module and one line here.

Modules are named, not imported: a runner loads only the one it needs, after its process is set up.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Protocol

from workers.runner.channel import Channel
from workers.runner.protocol import ExitStatus, Start

HANDLERS: Mapping[str, str] = MappingProxyType(
    {
        "training": "workers.runner.training",
        "generation": "workers.runner.generation",
        "evaluation": "workers.runner.evaluation",
        "dataset_import": "workers.runner.dataset_import",
    }
)
"""Kind of job → module with a function `create_handler() -> Handler`."""


class Handler(Protocol):
    """Runs jobs of one kind; lives as long as the runner, so it may keep things warm between starts."""

    def run(self, start: Start, channel: Channel) -> ExitStatus | None:
        """Bring every job of `start` to its end: exactly one Finished, Stopped or Failed each.

        Returns:
            The status to end the runner with, or None to wait for more work.
        """
        ...


def load_handler(kind: str, module: str | None = None) -> Handler:
    """Import what this kind needs (torch, for most) and return its handler.

    Args:
        kind: a key of `HANDLERS`, or any name if `module` is given.
        module: the kind's own module, for kinds that are not built in.

    Raises:
        KeyError: there is no such kind.
    """
    handler: Handler = import_module(module or HANDLERS[kind]).create_handler()
    return handler
