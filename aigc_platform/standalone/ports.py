"""TCP ports on the loopback address."""

import json
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from aigc_platform.standalone.errors import StandaloneError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As servers do: a port whose last connections are still winding down counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return that many different free ports; nothing holds them until their servers start."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((LOOPBACK, 0))
        return [listener.getsockname()[1] for listener in listeners]


def accepts_connections(port: int) -> bool:
    """Return whether something listens on the loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def remembered_ports(path: Path, wanted: Mapping[str, int]) -> dict[str, list[int]]:
    """Return ports for each name, the same as last time where they are still free.

    Args:
        path: JSON file that remembers them; written anew.
        wanted: how many ports each name needs.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    ports = {}
    for name, count in wanted.items():
        last = known.get(name, [])
        ports[name] = last if len(last) == count and all(map(is_free, last)) else free_ports(count)
    path.write_text(json.dumps(ports, indent=2) + "\n", encoding="utf-8")
    return ports


def api_port(*, asked_for: int | None, preferred: int) -> int:
    """Return the port of the API: the one asked for, or the preferred one, or any free one.

    Raises:
        StandaloneError: the port that was asked for is taken.
    """
    if asked_for is None:
        return preferred if is_free(preferred) else free_ports(1)[0]
    if not is_free(asked_for):
        raise StandaloneError(
            f"Port {asked_for} is taken by another program: stop that one, or choose another with PORT=…"
        )
    return asked_for
