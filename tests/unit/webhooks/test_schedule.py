"""The retry schedule: ten attempts over about three days, never early, never all at once."""

from datetime import timedelta
from itertools import count, takewhile

import pytest

from aigc_platform.webhooks.schedule import DELAYS_SECONDS, rest, retry_delay


def pauses() -> list[timedelta]:
    found = (retry_delay(attempts) for attempts in count(1))
    return [pause for pause in takewhile(lambda pause: pause is not None, found) if pause is not None]


def test_ten_attempts_in_about_three_days() -> None:
    assert len(pauses()) + 1 == 10
    assert timedelta(days=3) < sum(pauses(), timedelta()) < timedelta(days=3.5)


def test_a_pause_is_never_shorter_and_at_most_a_tenth_longer_than_planned() -> None:
    for attempts, planned in enumerate(DELAYS_SECONDS, start=1):
        seen = [retry_delay(attempts) for _ in range(200)]
        seconds = [pause.total_seconds() for pause in seen if pause is not None]
        assert planned <= min(seconds) < max(seconds) <= planned * 1.1


@pytest.mark.parametrize(
    ("asked", "least"), [(120.0, 120), (1.0, 5), (1e9, 24 * 3600), (float("inf"), 24 * 3600)]
)
def test_a_receiver_may_ask_for_a_longer_pause_of_up_to_a_day(asked: float, least: float) -> None:
    pause = retry_delay(1, retry_after_seconds=asked)
    assert pause is not None
    assert least <= pause.total_seconds() <= max(least, 5.5)


def test_asking_does_not_lengthen_the_schedule() -> None:
    assert retry_delay(len(DELAYS_SECONDS) + 1, retry_after_seconds=60.0) is None


def test_an_endpoint_rests_longer_with_each_failure_up_to_five_minutes() -> None:
    assert [rest(failures).total_seconds() for failures in (1, 2, 3, 9, 10, 10_000)] == [
        1,
        2,
        4,
        256,
        300,
        300,
    ]
    assert rest(1) < timedelta(seconds=DELAYS_SECONDS[0]), "or the first retry would come late"
