"""The engine's loop that sends: a few threads post, one writes rows. A receiver that hangs costs its place alone."""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import structlog
from django.db import DatabaseError, InterfaceError

from aigc_platform.jobs.engine import wait_for_notification
from aigc_platform.webhooks.claiming import Claimed, claim_due, note
from aigc_platform.webhooks.deadlines import Deadline
from aigc_platform.webhooks.models import FailureReason
from aigc_platform.webhooks.recording import WEBHOOK_CHANNEL
from aigc_platform.webhooks.retention import delete_old_rows
from aigc_platform.webhooks.sending import TOTAL_SECONDS, Outcome, send

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 8
_POLL_SECONDS = 1.0
_BUSY_POLL_SECONDS = 0.2
_CLOSE_SECONDS = 3.0
_TIDY_SECONDS = 600.0


class Sender:
    """Keeps up to `MOST_AT_ONCE` messages under way, one an endpoint (see `jobs.loops`).

    Only the thread that calls `step` and `close` uses the database.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="webhook")
        self._under_way: dict[Future[Outcome], tuple[Claimed, Deadline]] = {}
        self._tidied_at = -_TIDY_SECONDS

    def step(self, stopping: threading.Event) -> None:
        """Note what has ended, send what is due, and wait a little if there was nothing of either."""
        noted = self._note_finished()
        started = 0 if stopping.is_set() else self._start_due()
        if noted or started:
            return
        self._tidy()
        if self._under_way:
            wait(self._under_way, timeout=_BUSY_POLL_SECONDS, return_when=FIRST_COMPLETED)
        else:
            wait_for_notification(WEBHOOK_CHANNEL, _POLL_SECONDS)

    def close(self) -> None:
        """Give what is under way a moment to end, note it, and cut the rest off: another engine sends that again."""
        wait(self._under_way, timeout=_CLOSE_SECONDS)
        try:
            self._note_finished()
        finally:
            for _, deadline in self._under_way.values():
                deadline.cut()
            self._pool.shutdown(wait=True)

    def _start_due(self) -> int:
        free = MOST_AT_ONCE - len(self._under_way)
        claimed = claim_due(free) if free else []
        for item in claimed:
            deadline = Deadline(TOTAL_SECONDS)
            self._under_way[self._pool.submit(send, item.message, deadline)] = item, deadline
        return len(claimed)

    def _note_finished(self) -> int:
        finished = [future for future in self._under_way if future.done()]
        for future in finished:
            claimed, deadline = self._under_way.pop(future)
            try:
                note(claimed, _outcome_of(future))
            except (DatabaseError, InterfaceError):
                # What the database did not take is noted in the next round.
                self._under_way[future] = claimed, deadline
                raise
        return len(finished)

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied_at >= _TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            delete_old_rows()


def _outcome_of(future: "Future[Outcome]") -> Outcome:
    error = future.exception()
    if error is not None:
        log.error("webhook_send_broke", exc_info=error)
        return Outcome(FailureReason.UNREACHABLE)
    return future.result()
