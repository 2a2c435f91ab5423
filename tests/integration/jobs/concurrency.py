"""Several threads at one moment, each with a database connection of its own."""

import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

Result = TypeVar("Result")


def at_once(calls: list[Callable[[], Result]]) -> list[Result | Exception]:
    """Run the calls in as many threads, started together; return what each returned or raised, in order."""
    barrier = threading.Barrier(len(calls))
    results: list[Result | Exception | None] = [None] * len(calls)

    def run(index: int) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            results[index] = calls[index]()
        except Exception as error:  # noqa: BLE001 — the caller judges it
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return [result for result in results if result is not None]
