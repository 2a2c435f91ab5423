"""Writes that the attempts of one group make together: each takes the parts of one or of several of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from aigc_platform.common import failpoints
from aigc_platform.jobs import finishing, leases
from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.finishing import Completion


@dataclass(frozen=True)
class Running:
    """An attempt whose runner works."""

    claim: Claim
    device: str
    runner_pid: int


@dataclass(frozen=True)
class Completed:
    """An attempt whose results are stored."""

    claim: Claim
    completion: Completion


def report_running(parts: Sequence[Running]) -> None:
    """Note that the runner of these works."""
    first = parts[0]
    leases.report_running(
        _holds([part.claim for part in parts]),
        actor=first.claim.actor,
        device=first.device,
        runner_pid=first.runner_pid,
    )


def report_finalizing(claims: Sequence[Claim]) -> None:
    """Note that the last files of these are on their way."""
    finishing.report_finalizing(_holds(claims), actor=claims[0].actor)


def complete(parts: Sequence[Completed]) -> None:
    """Publish the results of these."""
    failpoints.reach("results.uploaded")
    finishing.complete_jobs([part.completion for part in parts], actor=parts[0].claim.actor)
    failpoints.reach("results.published")


def _holds(claims: Sequence[Claim]) -> list[leases.Hold]:
    return [(claim.job, claim.fence) for claim in claims]
