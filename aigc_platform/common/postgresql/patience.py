"""A psycopg connection that gives up on a server which does not answer."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import IdleInTransactionSessionTimeout, OperationalError

_Result = TypeVar("_Result")
_INTERVAL_SECONDS = 0.1

_limit_seconds: float | None = None


def expect_answers_within(seconds: float | None) -> None:
    """Let every connection of this process fail a statement that is not answered in this time; None waits for ever.

    What the statement did is then unknown, as after any broken connection: the server may still be executing it.
    The server in its turn ends the transactions of this process in which nothing has come from it for as long.
    """
    global _limit_seconds  # noqa: PLW0603 — one patience a process
    _limit_seconds = seconds


def patience_seconds() -> float | None:
    """Return how long this process waits for an answer; None if it waits for ever."""
    return _limit_seconds


class PatientConnection(psycopg.Connection[Any]):
    """Closes itself and raises `OperationalError` when an answer takes longer than the process is willing to wait."""

    def wait(
        self, gen: PQGen[_Result], interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> _Result:
        limit = _limit_seconds
        try:
            return super().wait(gen, interval, limit if timeout is None else timeout)
        except IdleInTransactionSessionTimeout as error:
            # psycopg takes it for an internal error; to us it is a broken connection like any other.
            raise OperationalError(str(error)) from None
        except OperationalError as error:
            is_ours = timeout is None and limit is not None
            if not is_ours or type(error).__name__ != "_WaitTimeout":
                raise
            # The protocol's state is unknown now: the connection is of no use any more.
            self.pgconn.finish()
            raise OperationalError(f"PostgreSQL did not answer within {limit:g} s.") from None
