"""One fault stack for each module: its processes and its database rows live until the module's last test.

Starting a worker costs seconds, and what a fault leaves behind is the next test's business too: every test works on
jobs of its own, beside whatever the last one broke. After each test its jobs are held against the invariants.

Environment: `FAULT_REPETITIONS` runs of each fault at least, shared out to its tests (default: each test once),
`FAULT_SEED` of the first of them (default 1; each further run takes the next), `FAULT_SECONDS` after which a test gets
no further repetition, `FAULT_RECORD` names a file to which every run appends its figures as a line of JSON.
`benchmarks/faults.py` sets them.
"""

import math
import os
import time
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker

from aigc_platform.storage.object_store import get_object_store
from tests.faults.figures import Figures, assert_no_violation
from tests.faults.stack import FaultStack
from tests.services import Services

_REPETITIONS = int(os.environ.get("FAULT_REPETITIONS", "1"))
_FIRST_SEED = int(os.environ.get("FAULT_SEED", "1"))
_MOST_SECONDS = float(os.environ.get("FAULT_SECONDS", "inf"))
_RECORD = os.environ.get("FAULT_RECORD")
_PROBLEM = pytest.StashKey[str]()
_LAST_WORDS = 600
_spent: dict[str, float] = defaultdict(float)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fault(*numbers): which faults of tests/faults/README.md the test makes"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat every fault, each time with another seed."""
    if _REPETITIONS > 1 and metafunc.definition.get_closest_marker("fault"):
        if "seed" not in metafunc.fixturenames:
            metafunc.fixturenames.append("seed")
        metafunc.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _REPETITIONS), indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a fault that many tests make, each makes its share of the repetitions; those not selected do not count."""
    if _REPETITIONS == 1:
        return
    tests: dict[int, set[str]] = defaultdict(set)
    for item in items:
        for fault in _faults_of(item):
            tests[fault].add(_name_without_seed(item))
    surplus = [item for item in items if _repetition(item) >= _share(item, tests)]
    config.hook.pytest_deselected(items=surplus)
    items[:] = [item for item in items if item not in set(surplus)]


def _share(item: Any, tests: Mapping[int, Collection[str]]) -> int:
    return max((math.ceil(_REPETITIONS / len(tests[fault])) for fault in _faults_of(item)), default=1)


def _repetition(item: Any) -> int:
    callspec = getattr(item, "callspec", None)
    return int(callspec.params.get("seed", _FIRST_SEED)) - _FIRST_SEED if callspec else 0


def _faults_of(item: Any) -> tuple[int, ...]:
    marker = item.get_closest_marker("fault")
    return tuple(marker.args) if marker else ()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of every random choice in a test."""
    number = int(getattr(request, "param", _FIRST_SEED))
    print(f"seed {number}")
    return number


@pytest.fixture(scope="module")
def stack(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    services: Services,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FaultStack]:
    """An engine and two workers, with database access for the whole module."""
    with django_db_blocker.unblock():
        redis.Redis.from_url(services.broker_url).flushall()
        get_object_store().ensure_bucket()
        started = FaultStack(tmp_path_factory.mktemp("faults"))
        started.start_engine()
        try:
            yield started
        finally:
            started.stop()
            call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def _django_db_helper() -> None:
    """Take the place of pytest-django's own, which would empty the tables under the running processes."""


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """What this run of the test found; counted at its end, and more where the test itself measures."""
    marker = request.node.get_closest_marker("fault")
    callspec = getattr(request.node, "callspec", None)
    number = callspec.params.get("seed", _FIRST_SEED) if callspec else _FIRST_SEED
    return Figures(faults=list(marker.args) if marker else [], test=request.node.originalname, seed=number)


def _name_without_seed(node: Any) -> str:
    callspec = getattr(node, "callspec", None)
    others = {name: value for name, value in callspec.params.items() if name != "seed"} if callspec else {}
    return f"{node.originalname} {others or ''}".strip()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        errors = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
        item.stash[_PROBLEM] = "\n".join(errors)[-_LAST_WORDS:] if report.failed else ""
    return report


@pytest.fixture(autouse=True)
def _watch(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold the test's jobs against the invariants, note its figures, and show what the processes printed."""
    if "stack" not in request.fixturenames:
        yield
        return
    name = _name_without_seed(request.node)
    if _spent[name] > _MOST_SECONDS:
        pytest.skip(f"{name} has had its {_MOST_SECONDS:g} s")
    stack: FaultStack = request.getfixturevalue("stack")
    # The test before may have broken it.
    connection.close_if_unusable_or_obsolete()
    figures: Figures = request.getfixturevalue("figures")
    before, earlier, started = stack.log_sizes(), len(stack.submitted), time.monotonic()
    yield
    _spent[name] += time.monotonic() - started
    print(stack.log_since(before)[-20_000:])
    jobs = stack.submitted[earlier:]
    for job in jobs:
        job.refresh_from_db()
    figures.count(stack, jobs)
    figures.problem = request.node.stash.get(_PROBLEM, "did not finish")
    try:
        assert_no_violation(jobs)
        assert (figures.lost, figures.duplicates) == (0, 0)
    except AssertionError as error:
        figures.problem = figures.problem or str(error)[-_LAST_WORDS:]
        raise
    finally:
        if _RECORD and request.node.get_closest_marker("fault"):
            figures.append_to(Path(_RECORD))
