"""The operators' how-tos against the code: units, stop times, commands, variables."""

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from aigc_platform.celery import QUEUE_NAMES
from aigc_platform.settings.env import REPOSITORY_DIR, variable_names

HOWTO = REPOSITORY_DIR / "docs" / "howto"
PAGES = [HOWTO / name for name in ("run-under-systemd.md", "stop-and-upgrade.md", "recover-from-outages.md")]
UNITS = sorted((HOWTO / "systemd").glob("*.service"))
# Upload of the last checkpoint and the last writes.
AFTER_CHECKPOINT_SECONDS = 30
NO_VARIABLES = {"SIGTERM", "SIGKILL", "QUEUES", "DJANGO_SETTINGS_MODULE", "TLS", "GPU"}


def unit(path: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read_string(path.read_text())
    assert {"Unit", "Service", "Install"} <= set(parser.sections())
    return parser["Service"]


def dockerfile_command(target: str) -> list[str]:
    stage = (REPOSITORY_DIR / "Dockerfile").read_text().split(f" AS {target}\n", 1)[1].split("\nFROM ")[0]
    [command] = re.findall(r"^CMD \[(.*?)\]$", stage.replace("\\\n", ""), flags=re.MULTILINE)
    return re.findall(r'"([^"]*)"', command)


def test_there_is_a_unit_for_each_process_and_each_comes_back() -> None:
    assert [path.name for path in UNITS] == [
        "aigc-api.service",
        "aigc-engine.service",
        "aigc-worker@.service",
    ]
    for path in UNITS:
        service = unit(path)
        assert service["Restart"] == "always", path.name
        assert int(service["TimeoutStopSec"]) > 0, path.name


def test_a_worker_is_given_time_for_its_last_checkpoint_and_only_its_main_process_is_told() -> None:
    service = unit(HOWTO / "systemd" / "aigc-worker@.service")
    needed = settings.CHECKPOINT_GRACE_SECONDS + AFTER_CHECKPOINT_SECONDS
    assert int(service["TimeoutStopSec"]) >= needed
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")
    compose: dict[str, Any] = yaml.safe_load((REPOSITORY_DIR / "docker-compose.yml").read_text())
    for name in ("worker-cpu", "worker-gpu"):
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) >= needed
    assert f"{settings.CHECKPOINT_GRACE_SECONDS:g} s" in (HOWTO / "run-under-systemd.md").read_text()


@pytest.mark.parametrize(
    ("name", "target", "changes"),
    [
        ("aigc-api.service", "web", {"0.0.0.0": "127.0.0.1"}),
        ("aigc-worker@.service", "worker", {",".join(QUEUE_NAMES): "${QUEUES}"}),
    ],
)
def test_units_start_what_the_images_start(name: str, target: str, changes: dict[str, str]) -> None:
    started = unit(HOWTO / "systemd" / name)["ExecStart"].split()
    if "--hostname" in started:
        place = started.index("--hostname")
        del started[place : place + 2]
    expected = [changes.get(word, word) for word in dockerfile_command(target)]
    assert [started[0].rpartition("/")[2], *started[1:]] == expected


def test_every_command_of_ours_exists() -> None:
    texts = [page.read_text() for page in PAGES] + [path.read_text() for path in UNITS]
    commands = {name for text in texts for name in re.findall(r"python -m django ([a-z_]+)", text)}
    assert commands >= {"run_engine", "migrate", "collectstatic", "check_invariants", "scrub"}
    assert commands <= set(get_commands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_is_one(page: Path) -> None:
    code = " ".join(re.findall(r"`([^`\n]+)`", page.read_text()))
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\bQUEUES\b", code)) - NO_VARIABLES
    assert named <= set(variable_names())
