"""Figures of the main path on this machine: `make bench-main`.

Starts a standalone stack of its own and measures, as a client over HTTP:

- resident memory of each idle process;
- POST of a job, p50 and p95 over 200 requests;
- from the POST of a training to its first training step;
- training images/s inside a job against `python -m ml train` of the same config, in pairs, by turns;
- 1,000 images, from the POST to the stored archive, and to 1,000 stored files.

Writes `benchmarks/results/main_path.md`. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from aigc_platform.settings.env import REPOSITORY_DIR
from aigc_platform.standalone.ports import free_ports

CONFIG = {"kimg": 12, "grid_seconds": 3600}
SUBMITS = 200
IMAGES = 1000
ENDS = {"succeeded", "failed", "canceled", "expired"}


class Stack:
    """A standalone stack and a client of its API."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        [port] = free_ports(1)
        environment = os.environ | {"DATA_DIR": str(folder / "var"), "PORT": str(port)}
        self._log = (folder / "stack.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "standalone"],
            cwd=REPOSITORY_DIR,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._await_ready(port)
        credentials = json.loads((folder / "var" / "credentials.json").read_text())
        self.api = httpx.Client(
            base_url=credentials["api_url"].rstrip("/") + "/",
            headers={"Authorization": f"Token {credentials['api_token']}"},
            timeout=60,
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._log.close()

    def call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        content: dict[str, Any] = self.api.request(method, path, **arguments).raise_for_status().json()
        return content

    def ended(self, path: str, *, seconds: float = 900, pause: float = 0.05) -> dict[str, Any]:
        return self.until(path, lambda job: job["status"] in ENDS, seconds=seconds, pause=pause)

    def until(
        self,
        path: str,
        condition: Callable[[dict[str, Any]], bool],
        *,
        seconds: float = 120,
        pause: float = 0.05,
    ) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not condition(row := self.call("GET", path)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is still {row['status']} after {seconds:g} s")
            time.sleep(pause)
        return row

    def _await_ready(self, port: int) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise TimeoutError("the stack is not ready after 120 s")


def idle_memory(stack: Stack) -> list[tuple[str, float]]:
    """Return (process, resident MiB) of the supervisor and all below it, largest first."""
    top = psutil.Process(stack.process.pid)
    rows = [
        (_short_name(process), process.memory_info().rss / 2**20) for process in [top, *top.children(True)]
    ]
    return sorted(rows, key=lambda row: -row[1])


def _short_name(process: psutil.Process) -> str:
    words = [Path(word).name for word in process.cmdline()[:12] if not word.startswith("-")]
    return " ".join(words)[:60]


def submit_milliseconds(stack: Stack, model: str) -> list[float]:
    """Time `SUBMITS` POSTs of one-image generations, one after the other."""
    times = []
    for seed in range(SUBMITS):
        body = {"model": model, "kind": "sample", "count": 1, "seed": seed, "delivery": "archive"}
        started = time.perf_counter()
        job = stack.call("POST", "generations", json=body)
        times.append((time.perf_counter() - started) * 1000)
    stack.ended(f"generations/{job['id']}")
    return times


def train_in_job(stack: Stack, dataset: str, model: str | None = None) -> tuple[float, float]:
    """Return (images/s inside the job, seconds from POST to the first step)."""
    body = {"dataset": dataset, "recipe": "dcgan", "config": CONFIG, "model": model}
    started = time.perf_counter()
    job = stack.call("POST", "trainings", json={key: value for key, value in body.items() if value})
    stack.until(f"trainings/{job['id']}", lambda row: row["progress"]["current"] > 0)
    first_step = time.perf_counter() - started
    # Asking twenty times a second would take a tenth of a core from the training.
    stack.ended(f"trainings/{job['id']}", pause=2)
    artifacts = stack.call("GET", f"trainings/{job['id']}/artifacts")["results"]
    card = next(artifact for artifact in artifacts if artifact["role"] == "card")
    training = httpx.get(card["url"]).json()["training"]
    return training["images_seen"] / training["seconds"], first_step


def train_by_command(folder: Path) -> float:
    """Return images/s of `python -m ml train` with the same config."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    settings = [f"{name}={value}" for name, value in CONFIG.items() if name != "kimg"]
    command = [sys.executable, "-m", "ml", "train", "--dataset", "digits", "--recipe", "dcgan"]
    command += ["--kimg", str(CONFIG["kimg"]), "--out", str(out)]
    command += [word for setting in settings for word in ("--set", setting)]
    done = subprocess.run(command, cwd=REPOSITORY_DIR, capture_output=True, text=True, check=True)
    images, seconds = re.search(r"([\d,]+) images in ([\d.]+) s", done.stdout).groups()  # type: ignore[union-attr]  # the command always prints it
    return int(images.replace(",", "")) / float(seconds)


def generation_rate(stack: Stack, model: str, delivery: str) -> float:
    """Return images/s from POST to the succeeded job, whose files are then all stored."""
    body = {"model": model, "kind": "sample", "count": IMAGES, "seed": 1, "delivery": delivery}
    started = time.perf_counter()
    job = stack.call("POST", "generations", json=body)
    stack.ended(f"generations/{job['id']}")
    return IMAGES / (time.perf_counter() - started)


def measure(stack: Stack, folder: Path, *, pairs: int) -> dict[str, Any]:
    """Run every measurement once the stack is ready."""
    memory = idle_memory(stack)
    dataset = stack.call("POST", "datasets", json={"name": "digits", "builtin": "digits"})
    stack.until(f"datasets/{dataset['id']}", lambda row: row["status"] == "ready")
    inside, alone, first_steps = [], [], []
    for pair in range(pairs):
        rate, first_step = train_in_job(stack, dataset["id"], "bench" if pair == 0 else None)
        inside.append(rate)
        first_steps.append(first_step)
        alone.append(train_by_command(folder))
    generation_rate(stack, "bench", "archive")
    return {
        "memory": memory,
        "first_step": first_steps,
        "inside": inside,
        "alone": alone,
        "archive": [generation_rate(stack, "bench", "archive") for _ in range(3)],
        "files": [generation_rate(stack, "bench", "files") for _ in range(3)],
        "submit": submit_milliseconds(stack, "bench"),
    }


def report(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    submit = sorted(figures["submit"])
    ratios = [inside / alone for inside, alone in zip(figures["inside"], figures["alone"], strict=True)]
    rows = [
        ("POST of a generation, p50", f"{statistics.median(submit):.1f} ms"),
        ("POST of a generation, p95", f"{submit[int(len(submit) * 0.95)]:.1f} ms"),
        ("POST of a training to its first step", f"{statistics.median(figures['first_step']):.1f} s"),
        ("training inside a job", f"{statistics.median(figures['inside']):.0f} images/s"),
        ("`python -m ml train`, same config", f"{statistics.median(figures['alone']):.0f} images/s"),
        ("ratio job / command, median of pairs", f"{statistics.median(ratios):.3f}"),
        (f"{IMAGES:,} images to one stored archive", f"{statistics.median(figures['archive']):.0f} images/s"),
        (
            f"{IMAGES:,} images to {IMAGES:,} stored files",
            f"{statistics.median(figures['files']):.0f} images/s",
        ),
    ]
    memory = "\n".join(f"| {name} | {mebibytes:.0f} MiB |" for name, mebibytes in figures["memory"])
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    taken = f"{datetime.now().astimezone():%Y-%m-%d %H:%M}, {os.cpu_count()} cores ({platform.machine()})"
    return f"""# Main path

`make bench-main`, {taken}, load at the end {load}.

| figure | value |
|---|---|
{table}

| idle process | resident |
|---|---|
{memory}
"""


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3, help="pairs of training runs (default: 3)")
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory(prefix="aigc-bench-") as name:
        stack = Stack(Path(name))
        try:
            text = report(measure(stack, Path(name), pairs=pairs))
        finally:
            stack.stop()
    target = REPOSITORY_DIR / "benchmarks" / "results" / "main_path.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
