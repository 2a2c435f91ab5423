"""A worker that would break a promise does not start, and says in one sentence what to change."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency import prefork, thread

from aigc_platform.celery import app
from aigc_platform.jobs.kinds import kind_names
from aigc_platform.settings.env import REPOSITORY_DIR
from tests.services import Services
from workers.app import MisconfiguredWorkerError, check_configuration
from workers.devices import (
    CPU,
    NoDeviceError,
    check_devices,
    choose_devices,
    ids,
    process_count,
    visible,
)
from workers.supervisor import Post

_GPU = "GPU-0a1b, NVIDIA L4, 23034"
_THREE_GPUS = "\n".join(f"GPU-{number}, NVIDIA L4, 23034" for number in range(3))


def _instance(**changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"pool_cls": prefork.TaskPool, "concurrency": 1} | changes))


def _conf(**changes: Any) -> SimpleNamespace:
    names = ("result_backend", "accept_content", "task_acks_late")
    return SimpleNamespace(**({name: app.conf[name] for name in names} | changes))


def test_the_platforms_own_configuration_is_accepted() -> None:
    check_configuration(_instance(), _conf())


@pytest.mark.parametrize(
    ("instance", "conf", "words"),
    [
        ({"pool_cls": thread.TaskPool}, {}, "use --pool prefork"),
        ({"concurrency": 2}, {}, "use --concurrency 1"),
        ({}, {"result_backend": "redis://localhost/1"}, "unset the result backend"),
        ({}, {"accept_content": ["json", "pickle"]}, "accept JSON messages only"),
        ({}, {"task_acks_late": True}, "switch late acknowledgement off"),
    ],
)
def test_each_dangerous_setting_is_refused_in_one_sentence(
    instance: dict[str, Any], conf: dict[str, Any], words: str
) -> None:
    with pytest.raises(MisconfiguredWorkerError) as caught:
        check_configuration(_instance(**instance), _conf(**conf))
    message = str(caught.value)
    assert message.startswith(words)
    assert message.count(".") == 1


@pytest.fixture
def fake_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a driver tool that lists these GPUs before all others on the path."""

    def install(listing: str) -> None:
        tool = tmp_path / "bin" / "nvidia-smi"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\necho '{listing}'\n")
        tool.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")

    return install


def test_a_gpu_is_taken_by_one_worker_alone_and_demanded_only_where_it_is_wanted(
    tmp_path: Path, fake_driver: Callable[[str], None]
) -> None:
    fake_driver(_GPU)
    locks = tmp_path / "locks"
    check_devices(locks, "gpu")
    (gpu,), (lock,) = choose_devices(locks, "auto")
    assert (gpu.id, gpu.memory_bytes) == ("GPU-0a1b", 23034 * 1024**2)
    for wanted in ("auto", "gpu"):
        with pytest.raises(NoDeviceError, match="all 1 GPUs of this host are driven by other workers"):
            check_devices(locks, wanted)
    assert choose_devices(locks, "cpu") == ((CPU,), ())
    lock.release()
    check_devices(locks, "gpu")

    fake_driver("")
    assert choose_devices(locks, "auto") == ((CPU,), ())
    with pytest.raises(NoDeviceError, match="no GPU is visible here, and WORKER_DEVICE=gpu demands one"):
        choose_devices(locks, "gpu")


def test_a_worker_takes_as_many_gpus_as_it_is_told_or_none(
    tmp_path: Path, fake_driver: Callable[[str], None]
) -> None:
    fake_driver(_THREE_GPUS)
    locks = tmp_path / "locks"
    devices, held = choose_devices(locks, "gpu", 2)
    assert ids(devices) == "GPU-0,GPU-1"
    assert visible(devices) == {"CUDA_VISIBLE_DEVICES": "GPU-0,GPU-1"}
    assert process_count(devices) == 2
    assert [device.as_dict()["id"] for device in devices] == ["GPU-0", "GPU-1"]

    with pytest.raises(NoDeviceError) as caught:
        choose_devices(locks, "gpu", 2)
    assert str(caught.value) == (
        "WORKER_DEVICE_COUNT=2 demands 2 GPUs, and 1 of the 3 of this host is free; lower it, or end the workers "
        "that drive the others."
    )
    # The one that was free still is.
    (third,), _ = choose_devices(locks, "gpu", 1)
    assert third.id == "GPU-2"
    for lock in held:
        lock.release()
    assert ids(choose_devices(locks, "auto", 2)[0]) == "GPU-0,GPU-1"


def test_the_processor_is_one_device_that_several_processes_share(tmp_path: Path) -> None:
    devices, held = choose_devices(tmp_path, "cpu", 3)
    assert (ids(devices), process_count(devices), held) == ("cpu", 3, ())
    assert visible(devices) == {"CUDA_VISIBLE_DEVICES": ""}


def test_only_trainings_compute_on_all_devices_of_a_worker(
    tmp_path: Path, fake_driver: Callable[[str], None]
) -> None:
    fake_driver(_THREE_GPUS)
    devices, _ = choose_devices(tmp_path / "locks", "gpu", 3)
    gpus, processor = Post(devices, tmp_path), Post(choose_devices(tmp_path, "cpu", 2)[0], tmp_path)
    for kind in kind_names():
        alone = kind != "training"
        assert ids(gpus.devices_for(kind)) == ("GPU-0" if alone else "GPU-0,GPU-1,GPU-2")
        assert process_count(processor.devices_for(kind)) == (1 if alone else 2)


@pytest.mark.parametrize(
    ("options", "variables", "sentence"),
    [
        (["--concurrency", "2"], {}, "use --concurrency 1; two jobs must not share the devices of a worker."),
        ([], {"WORKER_DEVICE": "gpu"}, "no GPU is visible here, and WORKER_DEVICE=gpu demands one"),
    ],
)
def test_a_worker_that_is_started_so_ends_with_the_sentence(
    options: list[str],
    variables: dict[str, str],
    sentence: str,
    services: Services,
    tmp_path: Path,
    fake_driver: Callable[[str], None],
) -> None:
    fake_driver("")
    settings = {"DJANGO_SETTINGS_MODULE": "aigc_platform.settings.testing", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "workers.app", "worker"]
    ended = subprocess.run(
        [*command, "--pool", "prefork", "--concurrency", "1", "-Q", "cpu.io", *options],
        cwd=REPOSITORY_DIR,
        env=os.environ | services.variables() | settings | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 1, ended.stderr
    assert f"This worker does not start: {sentence}" in ended.stderr
    assert "Traceback" not in ended.stderr
