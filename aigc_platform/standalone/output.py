"""What the person at the terminal sees: one line at a time, each with its program's name, in honcho's style."""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

_SYSTEM = "standalone"


class Output:
    """Prints lines of programs and of the supervisor; never fails because nobody reads them any more."""

    def __init__(self, stream: TextIO, *, names: Iterable[str]) -> None:
        self._printer = Printer(stream)
        self._palette: Iterator[str] = get_colours()
        self._colours: dict[str, str] = {}
        self.make_room_for(names)

    def make_room_for(self, names: Iterable[str]) -> None:
        """Widen the column of names, so that the lines of all programs line up."""
        self._printer.width = max(self._printer.width, len(_SYSTEM), *map(len, names), 0)

    def say(self, text: str) -> None:
        """Print words of the supervisor itself."""
        self._write(_SYSTEM, text, colour=None)

    def line(self, name: str, data: bytes) -> None:
        """Print one line of a program."""
        if name not in self._colours:
            self._colours[name] = next(self._palette)
        self._write(name, data.decode(errors="replace"), colour=self._colours[name])

    def _write(self, name: str, text: str, *, colour: str | None) -> None:
        now = dt.datetime.now(tz=dt.UTC).astimezone()
        # A closed terminal or a full pipe's end must not keep the stack from being stopped in order.
        with suppress(OSError, ValueError):
            self._printer.write(Message(type="line", data=text, time=now, name=name, colour=colour))
