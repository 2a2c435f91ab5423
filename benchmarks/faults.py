"""Every fault many times, then a soak with all of them at once: `make faults`.

    python benchmarks/faults.py                                    # 20 runs of each fault, 30 minutes of soak
    python benchmarks/faults.py --only soak --soak-minutes 5 --seed 7
    python benchmarks/faults.py --report-only --records var/faults  # write the report from records kept earlier

The faults are the tests in `tests/faults`; this runs them again and again and counts. Three parts, each of them one
run of pytest: `repetitions` with short leases, `leases` with those that operators get (60 s, a beat every 10 s,
which is what promise P3 is about), `soak`. Writes `benchmarks/results/faults.md` and exits 1 if any run broke a
promise. Random choices follow from the printed seed; when a fault strikes within a job also depends on the machine.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.matrix import FAULTS

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "benchmarks" / "results" / "faults.md"
PARTS = ("repetitions", "leases", "soak")
_WITH_DEFAULT_LEASES = "vanished or cancel_reaches"
_SOAK = "tests/faults/test_soak.py"

Run = dict[str, Any]


def main() -> int:
    arguments = _parse_arguments()
    arguments.records.mkdir(parents=True, exist_ok=True)
    if not arguments.report_only:
        print(f"seed {arguments.seed}, records in {arguments.records}", flush=True)
        for part in arguments.only:
            _run(part, arguments)
    runs = {part: _records(arguments.records / f"{part}.jsonl") for part in PARTS}
    conditions = {
        part: (arguments.records / f"{part}.txt").read_text()
        for part in PARTS
        if (arguments.records / f"{part}.txt").exists()
    }
    text = report(runs, conditions)
    TARGET.write_text(text)
    print(text)
    statuses = [int(path.read_text()) for path in arguments.records.glob("*.status")]
    return int(any(statuses) or not statuses)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--repetitions", type=int, default=20, help="runs of each fault (default: 20)")
    parser.add_argument("--lease-runs", type=int, default=3, help="runs with default leases (default: 3)")
    parser.add_argument("--most-seconds", type=float, default=1e9, help="per test, then no more repetitions")
    parser.add_argument("--soak-minutes", type=float, default=30.0)
    parser.add_argument("--soak-jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--processes", type=int, default=1, help="test files that run side by side")
    parser.add_argument("--records", type=Path, default=ROOT / "var" / "faults", help="folder of raw figures")
    parser.add_argument("--report-only", action="store_true", help="write the report from the records")
    return parser.parse_args()


def _run(part: str, arguments: argparse.Namespace) -> None:
    """Run one part with pytest; keep its figures, its conditions and its exit status."""
    record = arguments.records / f"{part}.jsonl"
    record.unlink(missing_ok=True)
    repetitions = {"repetitions": arguments.repetitions, "leases": arguments.lease_runs, "soak": 1}[part]
    environment = {
        "FAULT_RECORD": str(record),
        "FAULT_SEED": str(arguments.seed),
        "FAULT_REPETITIONS": str(repetitions),
        "FAULT_SECONDS": str(arguments.most_seconds),
    }
    selection = ["tests/faults", f"--ignore={_SOAK}", "-m", "fault"]
    if part == "leases":
        environment["FAULT_LEASES"] = "default"
        selection += ["-k", _WITH_DEFAULT_LEASES]
    elif part == "soak":
        environment |= {
            "SOAK_MINUTES": str(arguments.soak_minutes),
            "SOAK_JOBS": str(arguments.soak_jobs),
        }
        selection = [_SOAK]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *selection]
    if arguments.processes > 1 and part == "repetitions":
        command += ["-n", str(arguments.processes), "--dist", "loadfile"]
    before = os.getloadavg()[0]
    status = subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode
    (arguments.records / f"{part}.status").write_text(str(status))
    load = f"load {before:.1f} before and {os.getloadavg()[0]:.1f} after on {os.cpu_count()} cores"
    when = f"{datetime.now().astimezone():%Y-%m-%d %H:%M} ({platform.machine()})"
    lease = "60 s, beat 10 s" if part == "leases" else "5 s, beat 1 s"
    (arguments.records / f"{part}.txt").write_text(
        f"ended {when}, seed {arguments.seed}, lease {lease}, {load}"
    )


def _records(path: Path) -> list[Run]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(runs: dict[str, list[Run]], conditions: dict[str, str]) -> str:
    """Return the figures as Markdown."""
    sections = ["# Faults\n\n`make faults`. What each column means stands below the first table."]
    titles = {
        "repetitions": "Each fault by itself, short leases",
        "leases": "With the leases that operators get",
        "soak": "Soak: all faults at random",
    }
    for part, title in titles.items():
        if not runs[part]:
            continue
        sections.append(f"## {title}\n\n{conditions.get(part, '')}.")
        sections.append(_faults_table(runs[part]) if part != "soak" else _soak_table(runs[part]))
        if part == "repetitions":
            sections.append(_LEGEND)
        if measures := _measures_table(runs[part]):
            sections.append(measures)
        problems = Counter((run["test"], run["problem"]) for run in runs[part] if run["problem"])
        sections += [_problem(*what, times) for what, times in problems.items()]
    return "\n\n".join(sections) + "\n"


_LEGEND = """*Recovery*: seconds in which nobody worked on an interrupted job, from its last step to the next \
attempt's first; after an outage of the broker, the store or the engines, from their return to the first step or \
the end of what had waited. *Steps again*: steps (of 50 ms) executed by more than one attempt, all runs together; \
a checkpoint is written every 5 steps, and a holder that was cut off computes on until it learns that it is. \
*Duplicates*: jobs with results of two attempts. *Lost*: accepted jobs without an end. *Failed*: runs in which \
the test found anything wrong; every run also ends with the invariant checker."""


def _faults_table(runs: Sequence[Run]) -> str:
    rows = [
        "| fault | | runs | jobs | recoveries | p50 s | p99 s | steps again | duplicates | lost | failed |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for number, name in FAULTS.items():
        mine = [run for run in runs if number in run["faults"]]
        if mine:
            rows.append(f"| {number} | {name} | " + " | ".join(_fault_cells(mine)) + " |")
    return "\n".join(rows)


def _fault_cells(runs: Sequence[Run]) -> list[str]:
    recoveries = [seconds for run in runs for seconds in run["recoveries"]]
    summed = [sum(run[name] for run in runs) for name in ("steps_lost", "duplicates", "lost")]
    return [
        str(len(runs)),
        str(sum(run["jobs"] for run in runs)),
        str(len(recoveries) or "–"),
        _percentile(recoveries, 50),
        _percentile(recoveries, 99),
        *(f"{value:,}" for value in summed),
        str(sum(bool(run["problem"]) for run in runs)),
    ]


def _soak_table(runs: Sequence[Run]) -> str:
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run["counts"])
    recoveries = [seconds for run in runs for seconds in run["recoveries"]]
    faults = {name: count for name, count in counts.items() if not name.startswith("jobs ")}
    rows = [
        ("faults", str(sum(faults.values()))),
        ("jobs accepted", str(sum(run["jobs"] for run in runs))),
        *((name, str(count)) for name, count in sorted(counts.items()) if name.startswith("jobs ")),
        ("recoveries", str(len(recoveries))),
        ("recovery p50, p99", f"{_percentile(recoveries, 50)} s, {_percentile(recoveries, 99)} s"),
        ("steps executed again", str(sum(run["steps_lost"] for run in runs))),
        ("duplicates", str(sum(run["duplicates"] for run in runs))),
        ("lost", str(sum(run["lost"] for run in runs))),
        ("runs in which anything was wrong", str(sum(bool(run["problem"]) for run in runs))),
    ]
    table = _table(("figure", "value"), rows)
    by_name = _table(("fault", "times"), [(name, str(count)) for name, count in sorted(faults.items())])
    return f"{table}\n\n{by_name}"


def _problem(test: str, problem: str, times: int) -> str:
    return f"Failed, {times} times: `{test}`\n\n```\n{problem}\n```"


def _measures_table(runs: Sequence[Run]) -> str:
    measures: dict[str, list[float]] = {}
    for run in runs:
        for name, values in run["measures"].items():
            measures.setdefault(name, []).extend(values)
    rows = [
        (
            name,
            str(len(values)),
            *(_percentile(values, share) for share in (50, 95, 99)),
            f"{max(values):.2f}",
        )
        for name, values in sorted(measures.items())
    ]
    return _table(("measured", "n", "p50", "p95", "p99", "most"), rows) if rows else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percentile(values: Sequence[float], share: int) -> str:
    """By the nearest rank; of few values a high one is the largest."""
    if not values:
        return "–"
    ordered = sorted(values)
    if share == 50:
        return f"{statistics.median(ordered):.2f}"
    return f"{ordered[min(len(ordered) - 1, -(-len(ordered) * share // 100) - 1)]:.2f}"


if __name__ == "__main__":
    sys.exit(main())
