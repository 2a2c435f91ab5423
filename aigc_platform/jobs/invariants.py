"""What must hold of every job whatever happened to it, checked from events, rows and the bucket alone.

I1 every accepted job has ended · I2 results are one attempt's, complete, and in the bucket as hashed · I3 fences of
effects strictly rise · I4 the history is dense and nothing follows its end · I5 only a success publishes results ·
I6 each attempt resumed from the newest good checkpoint · I8 every object in the bucket is explained.
I7, that every end is told to its webhooks, is registered by the app that delivers them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from aigc_platform.jobs.models import Artifact, Attempt, Checkpoint, Job, JobEvent
from aigc_platform.jobs.states import LEASED, TERMINAL, TRANSITIONS, JobStatus
from aigc_platform.jobs.sweeping import named_keys
from aigc_platform.storage import keys
from aigc_platform.storage.exceptions import ObjectNotFoundError
from aigc_platform.storage.interface import ObjectStore


@dataclass(frozen=True)
class Violation:
    """One broken promise."""

    invariant: str
    job: Job
    problem: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.job}: {self.problem}"


def violations(
    store: ObjectStore, *, settled: bool = False, jobs: Collection[Job] | None = None
) -> Iterator[Violation]:
    """Yield everything that is wrong with any job.

    Args:
        settled: no job should be under way any more (I1), and garbage should have been collected (I8).
        jobs: look at these alone.
    """
    rows = Job.objects.order_by("pk")
    if jobs is not None:
        rows = rows.filter(pk__in=[job.pk for job in jobs])
    for job in rows.iterator(chunk_size=500):
        yield from (Violation(*found) for found in _checked(job, store, settled=settled))


Found = tuple[str, Job, str]
"""Name of the invariant, the job, and what is wrong with it."""

Check = Callable[[Job], Iterable[Found]]
_registered: list[Check] = []


def register_check(check: Check) -> None:
    """Check every job with this, too. For apps above this one: once for each, in its `ready()`."""
    _registered.append(check)


def _checked(job: Job, store: ObjectStore, *, settled: bool) -> Iterator[Found]:
    if settled and not job.is_terminal:
        yield "I1", job, f"is still {job.status}"
    yield from _results(job, store)
    yield from _fences(job)
    yield from _history(job)
    yield from _resumptions(job)
    for check in _registered:
        yield from check(job)
    if settled:
        yield from _objects(job, store)


def _results(job: Job, store: ObjectStore) -> Iterator[Found]:
    results = list(Artifact.objects.filter(job=job, is_preview=False))
    if results and job.status != JobStatus.SUCCEEDED:
        yield "I5", job, f"is {job.status} and shows {len(results)} results"
    if len({artifact.fence for artifact in results}) > 1:
        yield "I2", job, "shows results of several attempts"
    for role in {artifact.role for artifact in results}:
        indices = sorted(artifact.index for artifact in results if artifact.role == role)
        if indices != list(range(len(indices))):
            yield "I2", job, f"has gaps among its files of role {role}: {indices[:20]}"
    if job.deletion_requested_at is not None:
        return
    for artifact in Artifact.objects.filter(job=job):
        try:
            stored = store.head(artifact.key)
        except ObjectNotFoundError:
            yield "I2", job, f"{artifact.key} is missing"
            continue
        if (stored.size, stored.sha256) != (artifact.size, artifact.sha256):
            yield "I2", job, f"{artifact.key} is not what its row says"


def _fences(job: Job) -> Iterator[Found]:
    fences = list(Attempt.objects.filter(job=job).order_by("number").values_list("fence", flat=True))
    if any(later <= earlier for earlier, later in pairwise([0, *fences])):
        yield "I3", job, f"the fences of its attempts do not rise: {fences}"
    if fences and job.fence < fences[-1]:
        yield "I3", job, f"its fence {job.fence} is below its last attempt's {fences[-1]}"
    for name, rows in (("artifacts", Artifact.objects), ("checkpoints", Checkpoint.objects)):
        strangers = rows.filter(job=job).exclude(fence__in=fences).count()
        if strangers:
            yield "I3", job, f"{strangers} {name} are of no attempt"
    still_open = list(Attempt.objects.filter(job=job, ended_at__isnull=True).values_list("fence", flat=True))
    if still_open != ([job.fence] if job.status in LEASED else []):
        yield "I3", job, f"attempts {still_open} are open while it is {job.status} under {job.fence}"


def _history(job: Job) -> Iterator[Found]:
    events = list(JobEvent.objects.filter(job=job).order_by("seq").values_list("seq", "type", "data"))
    if [seq for seq, _, _ in events] != list(range(1, job.event_seq + 1)):
        yield "I4", job, f"its history is not numbered 1 to {job.event_seq}"
    moves = [(data["from"], data["to"]) for _, _, data in events if "from" in data and "to" in data]
    status = JobStatus.QUEUED
    for source, target in moves:
        if source != status or JobStatus(target) not in TRANSITIONS[JobStatus(source)]:
            yield "I4", job, f"its history goes from {status} by {source} to {target}"
        status = JobStatus(target)
    if status != job.status:
        yield "I4", job, f"its history ends as {status}, its row as {job.status}"
    ends = [position for position, (_, _, data) in enumerate(events) if data.get("to") in TERMINAL]
    if ends and ends != [len(events) - 1]:
        yield "I4", job, "something was written after its end"


def _resumptions(job: Job) -> Iterator[Found]:
    good = list(
        Checkpoint.objects.filter(job=job, is_corrupt=False)
        .order_by("-fence", "-step")
        .values_list("pk", "fence")
    )
    resumed = Attempt.objects.filter(job=job, resumed_from__isnull=False)
    for number, fence, checkpoint in resumed.values_list("number", "fence", "resumed_from"):
        newest = next((pk for pk, committed in good if committed < fence), None)
        if checkpoint != newest:
            yield "I6", job, f"attempt {number} resumed from {checkpoint}, the newest was {newest}"


def _objects(job: Job, store: ObjectStore) -> Iterator[Found]:
    named = named_keys(job) if job.deleted_at is None else set()
    for prefix in (keys.job_prefix(job.pk), keys.checkpoint_prefix(job.pk)):
        for info in store.list_keys(prefix):
            if info.key not in named and (job.collected_at is not None or job.deleted_at is not None):
                yield "I8", job, f"{info.key} is named by no row and was not collected"
