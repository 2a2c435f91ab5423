"""Every status of a job has its event: a change of status without one would be refused by the recording."""

from aigc_platform.jobs.states import TERMINAL, JobStatus
from aigc_platform.webhooks.event_types import SUBSCRIBABLE, EventType, default_event_types, event_type_of


def test_every_status_has_its_event() -> None:
    assert {event_type_of(status) for status in JobStatus} == {
        kind for kind in EventType if kind.startswith("job.")
    }


def test_the_ends_of_jobs_are_told_by_default() -> None:
    assert set(default_event_types()) == {event_type_of(status) for status in TERMINAL}


def test_only_the_test_message_cannot_be_subscribed_to() -> None:
    assert set(EventType) - set(SUBSCRIBABLE) == {EventType.TEST}
