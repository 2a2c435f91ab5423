"""What one run of a fault did: counted for every test, written down where `FAULT_RECORD` names a file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

from aigc_platform.jobs.invariants import violations
from aigc_platform.jobs.models import Artifact, Attempt, AttemptOutcome, Job
from aigc_platform.jobs.states import StatusReason
from aigc_platform.storage.object_store import get_object_store
from tests.faults.stack import FaultStack, Step

_INTERRUPTED = {AttemptOutcome.REQUEUED, AttemptOutcome.LEASE_LOST}
_BY_REQUEST = {StatusReason.DRAINED}


@dataclass
class Figures:
    """Of one run of one test.

    Attributes:
        faults: numbers in the fault matrix.
        recoveries: seconds in which nobody worked on a job that a fault had interrupted, one for each time.
        steps_lost: steps that were executed more than once.
        duplicates: jobs that show results of more than one attempt, or two successful attempts.
        lost: accepted jobs without an end.
        measures: other figures by name, each a list of values with the unit in its name.
        counts: how often each thing happened that is counted by name.
        problem: what the test found wrong, in its last words; empty if nothing.
    """

    faults: list[int]
    test: str
    seed: int
    jobs: int = 0
    recoveries: list[float] = field(default_factory=list)
    steps_lost: int = 0
    duplicates: int = 0
    lost: int = 0
    measures: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    has_own_recoveries: bool = False
    problem: str = ""

    def recovered(self, seconds: float) -> None:
        """Note a recovery that the ledger of steps cannot show; the ledger is not asked then."""
        self.recoveries.append(seconds)
        self.has_own_recoveries = True

    def measured(self, name: str, value: float) -> None:
        self.measures.setdefault(name, []).append(value)

    def count(self, stack: FaultStack, jobs: Sequence[Job]) -> None:
        """Read off these jobs' rows and steps what became of them."""
        by_job = stack.all_steps()
        for job in jobs:
            steps = by_job.get(str(job.pk), [])
            self.jobs += 1
            self.steps_lost += len(steps) - len({step.number for step in steps})
            self.duplicates += _is_published_twice(job)
            self.lost += not job.is_terminal
            if not self.has_own_recoveries:
                self.recoveries += pauses(job, steps)

    def append_to(self, path: Path) -> None:
        with path.open("a") as record:
            record.write(json.dumps(asdict(self)) + "\n")


def pauses(job: Job, steps: Sequence[Step]) -> list[float]:
    """Return for each attempt that a fault ended: seconds from its last step to the first of the next one."""
    rows = list(Attempt.objects.filter(job=job).order_by("number"))
    found = []
    for before, after in pairwise(rows):
        if before.outcome not in _INTERRUPTED or before.reason in _BY_REQUEST:
            continue
        last = max((step.at for step in steps if step.attempt == before.number), default=None)
        first = min((step.at for step in steps if step.attempt == after.number), default=None)
        if last is not None and first is not None and first > last:
            found.append(first - last)
    return found


def _is_published_twice(job: Job) -> bool:
    fences = Artifact.objects.filter(job=job, is_preview=False).values_list("fence", flat=True)
    successes = Attempt.objects.filter(job=job, outcome=AttemptOutcome.SUCCEEDED).count()
    return len(set(fences)) > 1 or successes > 1


def assert_no_violation(jobs: Sequence[Job]) -> None:
    """Whatever a fault did to these jobs, their rows, histories and objects keep every promise."""
    found = [str(violation) for violation in violations(get_object_store(), jobs=jobs)]
    assert not found, "\n".join(found)
