"""`make demo`: from nothing to labelled pictures on this machine, as a stranger would do it over HTTP.

Starts a stack of its own below `var/demo/stack`, trains on a built-in data set, generates 64 pictures, downloads and
checks them, and leaves them in `var/demo`.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from aigc_platform.settings.env import REPOSITORY_DIR, process_environment, standalone_options, variable_names
from aigc_platform.standalone.demo_client import DemoClient, DemoError
from aigc_platform.standalone.errors import StandaloneError
from aigc_platform.standalone.ports import LOOPBACK, free_ports
from aigc_platform.standalone.private_files import read_private_json
from aigc_platform.standalone.processes import ProcessSpec, start, stop
from aigc_platform.standalone.programs import answers

PICTURE_COUNT = 64
SEED = 7


STALL_SECONDS = 180

# What the training differs in from the recipe's defaults, by data set.
CONFIGS: Mapping[str, Mapping[str, Any]] = {"digits": {}, "fashion-mnist": {"kimg": 120}}


@dataclass
class Report:
    """What the demo did, step by step."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time one step; what is appended to the list yielded becomes its figures."""
        started_at = time.monotonic()
        figures: list[str] = []
        yield figures
        self.rows.append((name, time.monotonic() - started_at, ", ".join(figures)))

    def table(self) -> Table:
        table = Table("step", "seconds", "figures", title="What happened")
        for name, seconds, figures in self.rows:
            table.add_row(name, f"{seconds:.1f}", figures)
        return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Train, generate and download once.")
    parser.add_argument("--dataset", choices=sorted(CONFIGS), default="digits")
    parser.add_argument(
        "--kimg", type=float, help="training budget in thousand images, instead of the usual one"
    )
    chosen = parser.parse_args(arguments)
    console = Console()
    # SIGTERM takes the same way out as Ctrl-C: the stack is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = standalone_options().data_dir.absolute() / "demo"
    report = Report()
    try:
        config = {**CONFIGS[chosen.dataset], **({"kimg": chosen.kimg} if chosen.kimg else {})}
        run(folder, chosen.dataset, config, console=console, report=report)
    except (DemoError, StandaloneError) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("The demo was stopped.")
        return 130
    console.print(report.table())
    console.print(
        f"Pictures: {folder}/grid.png and {PICTURE_COUNT} files in {folder}/images", highlight=False
    )
    console.print(f"Model card: {folder}/model-card.json", highlight=False)
    return 0


def run(folder: Path, dataset: str, config: Mapping[str, Any], *, console: Console, report: Report) -> None:
    """Do all steps of the demo.

    Raises:
        DemoError: a step failed.
        StandaloneError: the stack did not start.
    """
    _clear(folder)
    with report.step("start the platform") as figures:
        stack = _stack(folder / "stack", log_path=folder / "stack.log")
        console.print(f"Starting the platform (its log: {stack.log_path})…", highlight=False)
        process = start(stack)
        figures.append("PostgreSQL, Valkey, SeaweedFS, api, engine, worker")
    try:
        credentials = read_private_json(folder / "stack" / "credentials.json")
        client = DemoClient(credentials["api_url"], credentials["api_token"])
        try:
            act(client, folder, dataset, config, console=console, report=report)
        finally:
            client.close()
    finally:
        console.print("Stopping the platform…")
        stop(process, stack)


def act(
    client: DemoClient,
    folder: Path,
    dataset: str,
    config: Mapping[str, Any],
    *,
    console: Console,
    report: Report,
) -> None:
    """Use the running platform as a client: import, train, generate, download."""
    model = f"{dataset}-demo"
    client.cancel_unfinished()
    with report.step("import the data set") as figures, console.status(f"Importing {dataset}…"):
        imported = client.ready_dataset(dataset, seconds=300)
        figures.append(f"{imported['sample_count']:,} images")
    with report.step("train") as figures:
        body = {
            "dataset": imported["id"],
            "config": dict(config),
            "model": model,
        }
        training = client.submit("trainings", body)
        figures.extend(_show(client, "trainings", training, "Training", console=console))
    version = client.latest_version(model)
    client.download(version["card_file"], folder / "model-card.json")
    with report.step("generate") as figures:
        body = {
            "model": f"{model}:{version['number']}",
            "kind": "sample",
            "count": PICTURE_COUNT,
            "seed": SEED,
            "format": "png",
            "delivery": "files",
        }
        generation = client.submit("generations", body)
        _show(client, "generations", generation, "Generating", console=console)
        figures.append(f"{PICTURE_COUNT} pictures with {model}:{version['number']}")
    with report.step("download and check") as figures:
        figures.append(f"{_download(client, generation, folder)} files, every SHA-256 right")


def _download(client: DemoClient, generation: Mapping[str, Any], folder: Path) -> int:
    artifacts = client.artifacts("generations", generation)
    pictures = [artifact for artifact in artifacts if artifact["role"] == "image"]
    grids = [artifact for artifact in artifacts if artifact["role"] == "grid"]
    if len(pictures) != PICTURE_COUNT or not grids:
        raise DemoError(f"The generation left {len(pictures)} pictures and {len(grids)} grids")
    for picture in pictures:
        client.download(picture, folder / "images" / f"{picture['index']:03d}.png")
    client.download(grids[0], folder / "grid.png")
    return len(pictures) + 1


def _show(client: DemoClient, kind: str, job: Mapping[str, Any], verb: str, *, console: Console) -> list[str]:
    """Follow a job to its end on the terminal; return what it last said about itself."""
    with _progress(console) as progress:
        shown = _ShownJob(progress, verb)
        client.finished(kind, job, stall_seconds=STALL_SECONDS, watch=shown.update)
    return shown.figures()


class _ShownJob:
    """A job's progress on the terminal."""

    def __init__(self, progress: Progress, verb: str) -> None:
        self._progress = progress
        self._task = progress.add_task(verb, total=None, detail="waiting for a worker")
        self._state: Mapping[str, Any] = {}

    def update(self, job: Mapping[str, Any]) -> None:
        state = job.get("progress") or {}
        if not state.get("total"):
            self._progress.update(self._task, detail=job["status"])
            return
        self._state = state
        self._progress.update(
            self._task, completed=state["current"], total=state["total"], detail="  ".join(self.figures())
        )

    def figures(self) -> list[str]:
        """Return what the job last said about itself, in words."""
        if not self._state:
            return []
        unit = self._state.get("unit") or "units"
        words = [f"{self._state['current']:,.0f} of {self._state['total']:,.0f} {unit}"]
        if rate := self._state.get("rate"):
            words.append(f"{rate:,.0f} {unit}/s")
        losses = {name: value for name, value in (self._state.get("metrics") or {}).items() if "loss" in name}
        words.extend(f"{name.replace('_', ' ')} {value:.2f}" for name, value in sorted(losses.items()))
        return words


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _stack(folder: Path, *, log_path: Path) -> ProcessSpec:
    [port] = free_ports(1)
    # The demo shows the embedded servers and defaults, whatever this shell is set up for.
    ours = {"DATA_DIR": str(folder), "PORT": str(port)}
    inherited = {name: value for name, value in process_environment().items() if name not in variable_names()}
    inherited.pop("DJANGO_SETTINGS_MODULE", None)
    kept = {
        name: process_environment()[name] for name in ("FASHION_MNIST_DIR",) if name in process_environment()
    }
    return ProcessSpec(
        name="the platform",
        command=(sys.executable, str(REPOSITORY_DIR / "manage.py"), "standalone"),
        environment={**inherited, **kept, **ours},
        stop_seconds=20,
        log_path=log_path,
        is_ready=lambda: answers(f"http://{LOOPBACK}:{port}/readyz"),
        ready_seconds=120,
    )


def _clear(folder: Path) -> None:
    """Delete the output of an earlier run; its stack stays, so that models gain versions."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "images", ignore_errors=True)
    for name in ("grid.png", "model-card.json", "stack.log"):
        (folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
