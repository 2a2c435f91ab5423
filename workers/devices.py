"""Which device this worker drives. No torch here: the supervisor must stay light and fork-safe."""

import fcntl
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
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
    """

    id: str
    kind: str
    name: str
    memory_bytes: int = 0

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)

    def environment(self) -> dict[str, str]:
        """Return the variables that let a runner see this device and no other."""
        return {"CUDA_VISIBLE_DEVICES": self.id if self.kind == "cuda" else ""}


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
    """There is no device of the wanted kind for this worker."""


def check_device(lock_folder: Path, wanted: str) -> None:
    """Raise `NoDeviceError` if `choose_device` would; holds nothing afterwards."""
    _, lock = choose_device(lock_folder, wanted)
    if lock is not None:
        lock.release()


def choose_device(lock_folder: Path, wanted: str) -> tuple[Device, DeviceLock | None]:
    """Return the first GPU that no other worker of this host holds, with its lock, or the CPU.

    Args:
        wanted: `gpu`, `cpu`, or `auto`: a GPU if this host has any.

    Raises:
        NoDeviceError: a GPU is wanted and there is none, or every one is taken.
    """
    gpus = [] if wanted == "cpu" else list_gpus()
    if not gpus:
        if wanted == "gpu":
            raise NoDeviceError(
                "no GPU is visible here, and WORKER_DEVICE=gpu demands one; install its driver or set it to cpu."
            )
        return CPU, None
    for gpu in gpus:
        lock = DeviceLock(lock_folder, gpu)
        if lock.acquire():
            return gpu, lock
    raise NoDeviceError(
        f"all {len(gpus)} GPUs of this host are driven by other workers; start one worker per GPU."
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
