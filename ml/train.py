"""The training loop: one readable page for every recipe.

    from ml.catalog import parse_config
    from ml.data.builtin import load_builtin
    from ml.train import train

    train(load_builtin("digits"), parse_config("dcgan", {"kimg": 20}), recipe="dcgan", out=Path("run"))

The folder `out` then holds `snapshot/` (the best one, to sample from), `checkpoints/` (to resume from),
`grid.png`, `grids/` (pictures on the way) and `metrics.jsonl`.
"""

from pathlib import Path

import torch

from ml.catalog import RecipeConfig
from ml.codecs.provenance import Provenance
from ml.data.packed import PackedDataset
from ml.distributed import current_crew
from ml.environment import default_device, deterministic_mode
from ml.hooks import Hooks, Progress, Stop, TrainingResult
from ml.training.plan import make_plan
from ml.training.run import Run

__all__ = ["Hooks", "Progress", "Stop", "TrainingResult", "train"]

CHECKPOINT_SECONDS = 120.0


def train(
    dataset: PackedDataset,
    config: RecipeConfig,
    *,
    recipe: str,
    out: Path,
    hooks: Hooks = Hooks(),  # noqa: B008 - frozen, so one shared default is safe
    resume: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    device: torch.device | None = None,
    provenance: Provenance = Provenance(),  # noqa: B008 - frozen
    compiled: bool | None = None,
) -> TrainingResult:
    """Train a generator until its budget is used up or the outside says stop.

    What is done by the clock (reports, grids, checkpoints) never changes the weights: a run with a budget
    in kimg gives the same weights on a fast and a slow machine, and in deterministic mode bit for bit,
    stopped and resumed or not.

    Args:
        dataset: what to learn.
        config: settings, of the recipe's own type.
        recipe: name of the recipe; `auto` chooses one and says so by the event `recipe_chosen`.
        out: folder for everything the run writes; made if need be.
        hooks: called between steps, see `Hooks`; of several processes (`ml.distributed`) in the first one only.
        resume: folder of a training state to go on from. The recipe, data and settings must be those of
            that run; only budgets and report intervals may differ, and with an event the number format.
        checkpoint_seconds: time between two training states.
        device: where to compute; None takes a GPU if there is one.
        provenance: what the AI-made label of the grids says.
        compiled: whether to use torch.compile; None does on GPUs, see `ml.training.compilation`.

    Raises:
        InvalidDatasetError: the data does not suit the recipe.
        InvalidCheckpointError: `resume` is damaged or of another run.
        NonFiniteLossError: training broke down.
    """
    plan = make_plan(
        dataset,
        config,
        recipe=recipe,
        out=out,
        hooks=hooks if current_crew().leads else Hooks(),
        resume=resume,
        device=device or default_device(),
        provenance=provenance,
    )
    with deterministic_mode(plan.config.deterministic):
        run = Run.prepare(plan, checkpoint_seconds=checkpoint_seconds, compiled=compiled)
        while not run.is_over():
            stop = run.wanted_stop()
            if stop is not None:
                return run.end_early(stop)

            run.step()

            if run.is_check_due():
                run.check_health()
            if not run.leads:
                continue
            if run.quality.is_due():
                run.quality.measure()
            if run.reports.is_due():
                run.reports.report()
            if run.snapshots.is_grid_due():
                run.snapshots.draw_grid()
            if run.checkpoints.is_due():
                run.checkpoints.write()
        return run.finish()
