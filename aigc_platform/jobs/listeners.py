"""Who else has to write something when a job's status changes, in the same transaction.

For apps above this one, which this one must not know. A listener that raises undoes the change of status, so it only
writes rows: no network, no locks that others hold for long.
"""

from collections.abc import Callable, Sequence

from aigc_platform.jobs.models import Job, JobEvent

Change = tuple[Job, JobEvent]
"""A job as it is after the change, and the event's row."""

StatusListener = Callable[[Sequence[Change]], None]
"""Gets what changed in one step: one job, or several that came to the same status. Called inside the transaction."""

_listeners: list[StatusListener] = []


def on_status_change(listener: StatusListener) -> None:
    """Call `listener` at every change of status and for new jobs. Once for each app, in its `ready()`."""
    _listeners.append(listener)


def tell_listeners(changes: Sequence[Change]) -> None:
    for listener in _listeners:
        listener(changes)
