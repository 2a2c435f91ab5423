"""A psycopg connection that gives up on a server which does not answer."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import OperationalError

_Result = TypeVar("_Result")
_INTERVAL_SECONDS = 0.1

_limit_seconds: float | None = None


def expect_answers_within(seconds: float | None) -> None:
    """Let every connection of this process fail a statement that is not answered in this time; None waits for ever.

    What the statement did is then unknown, as after any broken connection: the server may still be executing it.
    """
    global _limit_seconds  # noqa: PLW0603 — one patience a process
    _limit_seconds = seconds


class PatientConnection(psycopg.Connection[Any]):
    """Closes itself and raises `OperationalError` when an answer takes longer than the process is willing to wait."""

    def wait(
        self, gen: PQGen[_Result], interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> _Result:
        limit = _limit_seconds
        if timeout is not None or limit is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, limit)
        except OperationalError as error:
            if type(error).__name__ != "_WaitTimeout":
                raise
            # The protocol's state is unknown now: the connection is of no use any more.
            self.pgconn.finish()
            raise OperationalError(f"PostgreSQL did not answer within {limit:g} s.") from None
