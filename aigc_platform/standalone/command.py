"""`manage.py standalone`: start the whole platform on this machine and keep it running."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from aigc_platform.settings.env import STACK_FILE_NAME, standalone_options
from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.output import Output
from aigc_platform.standalone.private_files import exclusive
from aigc_platform.standalone.stack import PREFERRED_PORT, Stack, build_stack
from aigc_platform.standalone.supervisor import Supervisor

# The kernel allows 107 bytes; the longest name we put behind the folder is ".s.PGSQL.5432.lock".
_SOCKET_FOLDER_MAX_BYTES = 85


def main(arguments: Sequence[str]) -> int:
    """Run the stack until Ctrl-C or SIGTERM; return the exit code."""
    output = Output(sys.stdout, names=())
    try:
        options = standalone_options()
        parser = argparse.ArgumentParser(prog="manage.py standalone", description=__doc__.partition(": ")[2])
        parser.add_argument("--port", type=int, default=options.port, help="port of the API (PORT)")
        parser.add_argument(
            "--data-dir", type=Path, default=options.data_dir, help="folder for all data (DATA_DIR)"
        )
        chosen = parser.parse_args(arguments)
        run(chosen.data_dir.absolute(), port=chosen.port, output=output)
    except (StandaloneError, ImproperlyConfigured) as error:
        output.say(str(error))
        return 1
    return 0


def run(folder: Path, *, port: int | None, output: Output) -> None:
    """Start the stack of a folder and stay with it until a signal asks to stop.

    Raises:
        StandaloneError: it cannot start.
        ImproperlyConfigured: a variable in the environment is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(output)
    with exclusive(folder), _socket_folder(folder) as sockets, supervisor.running():
        stack = build_stack(folder, sockets=sockets, asked_port=port)
        output.make_room_for(spec.name for spec in (*stack.servers, stack.setup, *stack.programs))
        if port is None and stack.port != PREFERRED_PORT:
            output.say(f"Port {PREFERRED_PORT} is taken, so the API listens on {stack.port}.")
        names = ", ".join(spec.name for spec in stack.servers) or "nothing of its own"
        output.say(f"Starting {names}; data in {folder}")
        supervisor.start(stack.servers)
        stack.write_stack_file()
        try:
            supervisor.run_once(stack.setup)
            supervisor.start(stack.programs)
            _announce(stack, output)
            supervisor.watch()
        finally:
            (folder / STACK_FILE_NAME).unlink(missing_ok=True)


def _announce(stack: Stack, output: Output) -> None:
    public_url = stack.variables["PUBLIC_URL"]
    output.say("The platform is ready.")
    output.say(f"  Admin        {public_url}/admin/")
    output.say(f"  API          {public_url}/api/v1/  (documentation: {public_url}/api/docs/)")
    output.say(f"  Credentials  {stack.credentials_path}")
    output.say("Press Ctrl-C to stop.")


@contextmanager
def _socket_folder(folder: Path) -> Iterator[Path]:
    """Give a folder for unix sockets, closed to others: below the data where the path is short enough."""
    below = folder / "run"
    if len(os.fsencode(below)) <= _SOCKET_FOLDER_MAX_BYTES:
        below.mkdir(mode=0o700, exist_ok=True)
        below.chmod(0o700)
        yield below
        return
    elsewhere = Path(tempfile.mkdtemp(prefix="aigc-"))
    try:
        yield elsewhere
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)
