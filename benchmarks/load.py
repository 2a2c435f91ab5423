"""Does a long queue make the engine slower? `make bench-load`.

Against a PostgreSQL of its own, by turns with 100 and with 10,000 waiting jobs of 50 owners: one claim, one submission,
the newest page of an owner, one pass of the reaper. The figure is the ratio of the medians, many over few. Then fair
share: 5,000 jobs of one owner wait before another submits a single one.

Writes the section between the markers of `benchmarks/results/engine.md`.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.sections import write_section  # noqa: E402 - after the path

OWNERS = 50
FEW, MANY = 100, 10_000
PATIENT = 5_000

# Copies one waiting job of each owner; all kinds of priority occur.
_COPY = """
INSERT INTO jobs_job (id, owner_id, kind, queue, spec, spec_sha256, request_sha256, group_key, status, status_reason,
  desired, priority, labels, run_at, fence, attempt_count, recoveries, max_recoveries, event_seq, progress, created_at,
  queued_at, deletion_requested_by)
SELECT gen_random_uuid(), owner_id, kind, queue, spec, spec_sha256, 'copy', '', status, '', desired, number %% 5,
  labels, now() - interval '1 hour' + number * interval '1 second', 0, 0, 0, max_recoveries, 1, progress,
  now() - interval '1 hour' + number * interval '1 millisecond', now(), ''
FROM jobs_job, generate_series(1, %s) AS number WHERE id = ANY(%s)
"""


def _grow(samples: list[Any], count: int) -> None:
    """Let `count` jobs wait, the same number for each owner of a sample."""
    from django.db import connection

    from aigc_platform.jobs.depth import count_queues
    from aigc_platform.jobs.models import QueueDepth

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_job WHERE request_sha256 = 'copy'")
        cursor.execute(_COPY, [count // len(samples) - 1, [sample.pk for sample in samples]])
        # What autovacuum does in a living database: dead rows of the last turn must not count against this one.
        cursor.execute("VACUUM ANALYZE jobs_job")
    QueueDepth.objects.all().delete()
    count_queues()


def _undone(act: Callable[[], object]) -> float:
    """Return the milliseconds that `act` takes; nothing of what it does stays."""
    from django.db import transaction

    with transaction.atomic():
        started = time.perf_counter()
        act()
        taken = (time.perf_counter() - started) * 1000
        transaction.set_rollback(True)
    return taken


def _reap() -> None:
    from aigc_platform.jobs import reaper

    reaper.expire_late_starts()
    reaper.stop_overdue_jobs()
    reaper.ring_silent_queues()
    reaper.delete_old_outbox_rows()
    reaper.requeue_lost_jobs()
    reaper.retire_lost_workers()


def _acts(worker: Any, owner: Any) -> dict[str, Callable[[], object]]:
    from aigc_platform.jobs.claim import claim_jobs
    from aigc_platform.jobs.selectors import jobs_of
    from tests.factories.jobs import submit

    newest = jobs_of(owner).order_by("-created_at", "-id")
    return {
        "claim": lambda: claim_jobs(worker),
        "submit": lambda: submit(owner),
        # Two jobs are all that an owner has in the small case.
        "list, newest 2 of an owner": lambda: list(newest.all()[:2]),
        "reaper, one pass": _reap,
    }


def compare(*, rounds: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Return the median milliseconds of each act with few and with many waiting jobs, measured by turns."""
    from tests.factories.accounts import make_user
    from tests.factories.jobs import make_worker, submit

    samples = [submit(make_user()) for _ in range(OWNERS)]
    acts = _acts(make_worker(), samples[0].owner)
    times: dict[int, dict[str, list[float]]] = {size: {name: [] for name in acts} for size in (FEW, MANY)}
    for _ in range(rounds):
        for size in (FEW, MANY):
            _grow(samples, size)
            for name, act in acts.items():
                _undone(act)
                times[size][name] += [_undone(act) for _ in range(repeats)]
    return {
        name: (statistics.median(times[FEW][name]), statistics.median(times[MANY][name])) for name in acts
    }


def claims_until_served() -> int:
    """Return how many claims are made before the one job of an owner who came after 5,000 of another."""
    from aigc_platform.jobs.claim import claim_jobs
    from aigc_platform.jobs.models import Job
    from tests.factories.accounts import make_user
    from tests.factories.jobs import make_worker, submit

    Job.objects.filter(status="queued").update(status="canceled", finished_at=datetime.now().astimezone())
    greedy, modest = make_user(), make_user()
    first = submit(greedy)
    _grow([first], PATIENT)
    Job.objects.filter(request_sha256="copy").update(priority=0)
    single = submit(modest)
    worker = make_worker()
    for number in range(1, PATIENT + 2):
        if any(claim.job.pk == single.pk for claim in claim_jobs(worker)):
            return number
    raise RuntimeError("the single job was never claimed")


def report(figures: dict[str, tuple[float, float]], claims: int) -> str:
    """Return the section as Markdown."""
    rows = "\n".join(
        f"| {name} | {few:.2f} ms | {many:.2f} ms | {many / few:.2f} |"
        for name, (few, many) in figures.items()
    )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    taken = f"{datetime.now().astimezone():%Y-%m-%d %H:%M}, {os.cpu_count()} cores"
    return f"""## A long queue

`make bench-load`, {taken}, load at the end {load}. Medians, both sizes by turns; {OWNERS} owners. Other
work on the machine lengthens all times and blurs the ratios.

| | {FEW} jobs wait | {MANY:,} jobs wait | ratio |
|---|---|---|---|
{rows}

Fair share: an owner's only job, submitted after {PATIENT:,} of another owner, was taken by claim number {claims}.
"""


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each size (default: 5)")
    parser.add_argument("--repeats", type=int, default=40, help="of each act in a turn (default: 40)")
    arguments = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "aigc_platform.settings.testing"
    from tests.services import running_services

    with running_services() as services:
        os.environ.update(services.variables())
        import django

        django.setup()
        from django.db import connection

        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        section = report(compare(rounds=arguments.rounds, repeats=arguments.repeats), claims_until_served())
        connection.close()
    write_section("bench-load", section)
    print(section)


if __name__ == "__main__":
    main()
