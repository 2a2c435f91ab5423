"""The state machine against a table written by hand: every pair of statuses, allowed or refused."""

from itertools import product

import pytest

from aigc_platform.jobs.states import LEASED, PUBLISHABLE, TERMINAL, TRANSITIONS, JobStatus, sources_of

# Read it as a drawing: a line per status, and where it may go.
_ARROWS = """
queued     starting paused canceled expired failed
starting   running finalizing queued pausing canceling succeeded failed
running    finalizing queued pausing canceling succeeded failed
finalizing succeeded queued pausing canceling failed
pausing    paused canceling succeeded failed
paused     queued canceled expired
canceling  canceled failed
succeeded
failed
canceled
expired
"""
_ALLOWED = {
    (JobStatus(source), JobStatus(target))
    for source, *targets in (line.split() for line in _ARROWS.strip().splitlines())
    for target in targets
}


@pytest.mark.parametrize(("source", "target"), list(product(JobStatus, JobStatus)))
def test_every_pair_is_allowed_or_refused_as_drawn(source: JobStatus, target: JobStatus) -> None:
    assert (target in TRANSITIONS[source]) is ((source, target) in _ALLOWED)


@pytest.mark.parametrize("target", JobStatus)
def test_sources_are_the_transitions_read_backwards(target: JobStatus) -> None:
    assert sources_of(target) == {source for source, to in _ALLOWED if to is target}


def test_terminal_states_are_exactly_those_without_a_way_out() -> None:
    assert {status for status in JobStatus if not TRANSITIONS[status]} == TERMINAL


def test_no_job_can_be_stuck_every_status_leads_to_an_end() -> None:
    reaching = set(TERMINAL)
    while grown := {status for status in JobStatus if TRANSITIONS[status] & reaching} - reaching:
        reaching |= grown
    assert reaching == set(JobStatus)


def test_leased_states_are_entered_from_queued_or_from_another_leased_state_only() -> None:
    for status in LEASED:
        assert sources_of(status) <= LEASED | {JobStatus.QUEUED}


def test_success_can_be_published_from_every_leased_state_but_canceling() -> None:
    assert LEASED - {JobStatus.CANCELING} == PUBLISHABLE
    assert sources_of(JobStatus.SUCCEEDED) == PUBLISHABLE
