"""When the reaper may expire leases, by a clock that the test turns."""

from aigc_platform.jobs.engine import LeaseGrace


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _grace_with_contacts(*times: float) -> tuple[LeaseGrace, _Clock]:
    """Return a grace of 60 s made at time 0 whose engine reached the database at these times."""
    clock = _Clock()
    grace = LeaseGrace(60, clock)
    for time in times:
        clock.now = 1000 + time
        grace.note_contact()
    return grace, clock


def test_a_fresh_engine_waits_one_lease() -> None:
    grace, clock = _grace_with_contacts(0, 20, 40, 59)
    assert not grace.is_over()
    clock.now = 1060
    assert grace.is_over()


def test_a_short_cut_costs_no_patience() -> None:
    grace, _ = _grace_with_contacts(*range(0, 100, 5), 125)
    assert grace.is_over()


def test_after_a_long_cut_it_waits_one_lease_again() -> None:
    grace, clock = _grace_with_contacts(*range(0, 100, 5), 200)
    assert not grace.is_over()
    clock.now = 1259
    assert not grace.is_over()
    clock.now = 1260
    assert grace.is_over()


def test_a_database_that_only_answers_after_an_hour_starts_the_wait_then() -> None:
    grace, _ = _grace_with_contacts(3600)
    assert not grace.is_over()
