"""A PostgreSQL that does not answer: given up after a limit where there is one, and usable again afterwards."""

import time
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, transaction

from aigc_platform.common.postgresql import expect_answers_within
from aigc_platform.jobs.engine import wait_for_notification

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def half_a_second() -> Iterator[None]:
    expect_answers_within(0.5)
    yield
    expect_answers_within(None)
    connection.close()


def _sleep(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def test_without_a_limit_a_slow_statement_is_waited_for() -> None:
    _sleep(0.7)


def test_a_statement_without_an_answer_is_given_up_at_the_limit(half_a_second: None) -> None:
    started = time.monotonic()
    with pytest.raises(OperationalError, match=r"did not answer within 0\.5 s"):
        _sleep(5)
    assert 0.4 < time.monotonic() - started < 2


def test_the_next_statement_gets_a_new_connection(half_a_second: None) -> None:
    with pytest.raises(OperationalError):
        _sleep(5)
    connection.close()
    _sleep(0.1)


def test_a_transaction_that_is_given_up_leaves_nothing_behind(half_a_second: None) -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        _sleep(5)
    connection.close()
    assert not connection.in_atomic_block
    _sleep(0)


def test_waiting_for_a_notification_has_a_limit_of_its_own(half_a_second: None) -> None:
    started = time.monotonic()
    assert wait_for_notification("aigc_test", 1.0) is None
    assert time.monotonic() - started >= 1.0


def test_a_transaction_in_which_we_fall_silent_is_ended_by_the_server(half_a_second: None) -> None:
    connection.close()
    with pytest.raises(OperationalError):
        _fall_silent_inside_a_transaction()
    connection.close()
    _sleep(0)


@transaction.atomic
def _fall_silent_inside_a_transaction() -> None:
    _sleep(0)
    time.sleep(1.5)
    _sleep(0)


def test_silence_between_transactions_costs_nothing(half_a_second: None) -> None:
    connection.close()
    _sleep(0)
    time.sleep(1.5)
    _sleep(0)
