"""The Compose file and the Dockerfile against the code: variables, queues, commands, secrets, health."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aigc_platform.celery import QUEUE_NAMES
from aigc_platform.settings.env import REPOSITORY_DIR, Env, load_env, variable_names

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "api", "engine", "worker-cpu", "worker-gpu")
FOREIGN = ("postgres", "valkey", "seaweedfs")
REFERENCE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)(:?[-?][^}]*)?\}")


def texts(node: object) -> Iterator[str]:
    """Every text of a YAML tree."""
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    else:
        yield str(node)


def references() -> dict[str, set[str]]:
    """Each `${NAME…}` of the file with the endings it is used with."""
    found: dict[str, set[str]] = {}
    for text in texts(SERVICES):
        for name, ending in REFERENCE.findall(text):
            found.setdefault(name, set()).add(ending)
    return found


def example_lines() -> list[str]:
    return (REPOSITORY_DIR / ".env.example").read_text().splitlines()


def queues_of(service: str) -> set[str]:
    command = SERVICES[service].get("command") or dockerfile_command("worker")
    text = " ".join(command).replace("--queues ", "--queues=")
    return set(re.findall(r"--queues=(\S+)", text)[0].split(","))


def dockerfile_command(target: str) -> list[str]:
    stage = (REPOSITORY_DIR / "Dockerfile").read_text().split(f" AS {target}\n", 1)[1].split("\nFROM ")[0]
    [command] = re.findall(r"^CMD \[(.*?)\]$", stage.replace("\\\n", ""), flags=re.MULTILINE)
    return re.findall(r'"([^"]*)"', command)


def test_the_services_are_those_of_the_design() -> None:
    assert set(SERVICES) == {*OURS, *FOREIGN}
    assert [name for name, service in SERVICES.items() if service.get("profiles")] == ["worker-gpu"]


@pytest.mark.parametrize("service", OURS)
def test_a_process_of_ours_gets_known_variables_and_every_required_one(service: str) -> None:
    given = set(SERVICES[service]["environment"])
    assert given <= set(variable_names())
    required = {name.upper() for name, field in Env.model_fields.items() if field.is_required()}
    assert required <= given


def test_the_variables_make_valid_settings_once_filled_in() -> None:
    values = {"PUBLIC_URL": "https://aigc.example", "S3_PUBLIC_ENDPOINT_URL": "https://s3.example"}

    def filled(text: str) -> str:
        return REFERENCE.sub(
            lambda match: (
                match[2][2:]
                if match[2].startswith(":-")
                else values.get(match[1], f"filled-in-{match[1].lower()}" * 2)
            ),
            text,
        )

    env = load_env({name: filled(str(value)) for name, value in SERVICES["api"]["environment"].items()})
    assert env.public_host == "aigc.example"
    assert env.s3_bucket == "aigc"


@pytest.mark.parametrize("name", sorted(references()))
def test_a_secret_has_no_default_and_its_absence_is_an_error(name: str) -> None:
    if re.search(r"PASSWORD|SECRET|KEY", name):
        assert {ending[:2] for ending in references()[name]} == {":?"}
    else:
        assert all(ending[:2] in {":-", ":?"} for ending in references()[name])


def test_no_secret_is_written_into_the_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|SECRET|KEY", variable):
                assert str(value).startswith("${"), f"{name}: {variable}"


def test_the_example_names_every_variable_and_fills_in_no_secret() -> None:
    lines = [line for line in example_lines() if "=" in line and not line.startswith("# ")]
    named = {line.lstrip("#").partition("=")[0] for line in lines}
    assert named == set(references())
    required = {name for name, endings in references().items() if any(e.startswith(":?") for e in endings)}
    assert required == {line.partition("=")[0] for line in lines if not line.startswith("#")}
    assert [
        line for line in lines if re.search(r"PASSWORD|SECRET|KEY", line) and not line.endswith("=")
    ] == []


def test_every_queue_has_a_worker_without_any_profile() -> None:
    assert queues_of("worker-cpu") == set(QUEUE_NAMES)
    assert queues_of("worker-gpu") < set(QUEUE_NAMES)


@pytest.mark.parametrize("service", sorted({*OURS, *FOREIGN} - {"migrate"}))
def test_every_lasting_service_has_a_health_check_and_comes_back(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "unless-stopped"


def test_data_live_in_named_volumes() -> None:
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_ports_are_open_on_this_machine_alone() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"api", "seaweedfs"}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)


@pytest.mark.parametrize("service", OURS)
def test_an_image_is_built_from_a_stage_that_exists(service: str) -> None:
    dockerfile = (REPOSITORY_DIR / "Dockerfile").read_text()
    assert f" AS {SERVICES[service]['build']['target']}\n" in dockerfile


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    kept = {
        line[1:]
        for line in (REPOSITORY_DIR / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for line in re.findall(r"^COPY (.*)$", (REPOSITORY_DIR / "Dockerfile").read_text(), flags=re.MULTILINE):
        for source in line.split()[:-1]:
            assert (REPOSITORY_DIR / source).exists(), source
            assert Path(source).parts[0] in kept


def test_the_web_image_has_no_ml_stack() -> None:
    dockerfile = (REPOSITORY_DIR / "Dockerfile").read_text()
    web = dockerfile.split(" AS web\n", 1)[1].split("\nFROM ")[0]
    assert "pip install" not in web
    assert re.findall(r"^COPY (ml\S*)", web, flags=re.MULTILINE) == ["ml/__init__.py", "ml/catalog"]
