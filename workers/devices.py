"""Which devices this worker drives. No torch here: the supervisor must stay light and fork-safe."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ml.threads import usable_cores


@dataclass(frozen=True)
class Device:
    """One compute device.

    Attributes:
        id: `cpu`, or the GPU's UUID, which stays the same over restarts and renumbering.
        kind: `cpu` or `cuda`.
        name: what a person calls it.
        memory_bytes: of a GPU; 0 for the CPU.
        processes: how many of a training compute on it at the same time; one on a GPU.
    """

    id: str
    kind: str
    name: str
    memory_bytes: int = 0
    processes: int = 1

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)


def visible(devices: Sequence[Device]) -> dict[str, str]:
    """Return the variables that let a runner see these devices and no others."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(device.id for device in devices if device.kind == "cuda")}


def ids(devices: Sequence[Device]) -> str:
    """Return what an attempt's record calls them."""
    return ",".join(device.id for device in devices)


def process_count(devices: Sequence[Device]) -> int:
    """Return how many processes a training may run on them."""
    return sum(device.processes for device in devices)


CPU = Device(id="cpu", kind="cpu", name=f"CPU, {usable_cores()} cores")


class DeviceLock:
    """A lock on a GPU for all processes of this host: a successor never shares a card with a frozen predecessor."""

    def __init__(self, folder: Path, device: Device) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / f"{device.id}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def acquire(self) -> bool:
        """Take the lock if it is free; it is given back when this process ends."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        os.close(self._descriptor)


class NoDeviceError(Exception):
    """There are not as many devices of the wanted kind as this worker wants."""


def check_devices(lock_folder: Path, wanted: str, count: int = 1) -> None:
    """Raise `NoDeviceError` if `choose_devices` would; holds nothing afterwards."""
    _, locks = choose_devices(lock_folder, wanted, count)
    _release(locks)


def choose_devices(
    lock_folder: Path, wanted: str, count: int = 1
) -> tuple[tuple[Device, ...], tuple[DeviceLock, ...]]:
    """Return the first GPUs that no other worker of this host holds, with their locks, or the CPU.

    Args:
        wanted: `gpu`, `cpu`, or `auto`: GPUs if this host has any.
        count: how many GPUs; of the CPU, how many processes of a training share it.

    Raises:
        NoDeviceError: GPUs are wanted and there are none, or too few are free; none is held then.
    """
    gpus = [] if wanted == "cpu" else list_gpus()
    if not gpus:
        if wanted == "gpu":
            raise NoDeviceError(
                "no GPU is visible here, and WORKER_DEVICE=gpu demands one; install its driver or set it to cpu."
            )
        return (replace(CPU, processes=count),), ()
    taken: list[tuple[Device, DeviceLock]] = []
    for gpu in gpus:
        if len(taken) == count:
            break
        lock = DeviceLock(lock_folder, gpu)
        if lock.acquire():
            taken.append((gpu, lock))
        else:
            lock.release()
    devices, locks = tuple(gpu for gpu, _ in taken), tuple(lock for _, lock in taken)
    if len(devices) < count:
        _release(locks)
        raise NoDeviceError(_too_few(count, free=len(devices), all_here=len(gpus)))
    return devices, locks


def _release(locks: Sequence[DeviceLock]) -> None:
    for lock in locks:
        lock.release()


def _too_few(count: int, *, free: int, all_here: int) -> str:
    if count == 1:
        return f"all {all_here} GPUs of this host are driven by other workers; start one worker per GPU."
    return (
        f"WORKER_DEVICE_COUNT={count} demands {count} GPUs, and {free} of the {all_here} of this host "
        f"{'is' if free == 1 else 'are'} free; lower it, or end the workers that drive the others."
    )


def list_gpus() -> list[Device]:
    """Return the NVIDIA GPUs that the driver shows, or none where there is no driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    fields = "--query-gpu=uuid,name,memory.total"
    answer = subprocess.run(
        [command, fields, "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if answer.returncode != 0:
        return []
    return [_parse_gpu(line) for line in answer.stdout.splitlines() if line.count(",") == 2]


def _parse_gpu(line: str) -> Device:
    uuid, name, mebibytes = (part.strip() for part in line.split(","))
    return Device(id=uuid, kind="cuda", name=name, memory_bytes=int(float(mebibytes)) * 1024**2)
