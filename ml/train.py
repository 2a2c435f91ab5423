"""The training loop: one readable page for every recipe.

    from ml.catalog import parse_config
    from ml.data.builtin import load_builtin
    from ml.train import train

    train(load_builtin("digits"), parse_config("dcgan", {"kimg": 20}), recipe="dcgan", out=Path("run"))

The folder `out` then holds `snapshot/` (to sample from), `checkpoints/` (to resume from), `grid.png`,
`grids/` (pictures on the way) and `metrics.jsonl`.
"""

import time
from pathlib import Path

import torch

from ml.auto import choose_recipe, rechoose
from ml.catalog import RecipeConfig, check_dataset
from ml.checkpoint import read_training_config
from ml.codecs.provenance import Provenance
from ml.data.packed import PackedDataset
from ml.environment import default_device, deterministic_mode
from ml.errors import InvalidDatasetError
from ml.hooks import Hooks, Progress, Stop, TrainingResult
from ml.profile import DataProfile, profile_dataset
from ml.run import Run

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
        hooks: called between steps, see `Hooks`.
        resume: folder of a training state to go on from. The recipe, data and settings must be those of
            that run; only budgets and report intervals may differ.
        checkpoint_seconds: time between two training states.
        device: where to compute; None takes a GPU if there is one.
        provenance: what the AI-made label of the grids says.

    Raises:
        InvalidDatasetError: the data does not suit the recipe.
        InvalidCheckpointError: `resume` is damaged or of another run.
        NonFiniteLossError: training broke down.
    """
    _refuse_unsuitable(dataset, config, recipe)
    profile = _profile(dataset, hooks, is_fresh=resume is None)
    if recipe == "auto":
        recipe, config = _choose(config, profile, hooks, resume)
        _refuse_unsuitable(dataset, config, recipe)
    with deterministic_mode(config.deterministic):
        run = Run.prepare(
            dataset,
            profile,
            config,
            recipe=recipe,
            out=out,
            hooks=hooks,
            resume=resume,
            device=device or default_device(),
            provenance=provenance,
        )
        checkpoint_due_at = time.monotonic() + checkpoint_seconds
        while not run.is_budget_used():
            stop = hooks.should_stop()
            if stop is not None:
                if stop is Stop.CHECKPOINT:
                    run.write_checkpoint()
                return run.result("stopped")

            run.step()

            if run.is_check_due():
                run.check_health()
            if run.is_tick_due():
                run.report()
            if run.is_grid_due():
                run.draw_grid()
            if time.monotonic() >= checkpoint_due_at:
                run.write_checkpoint()
                checkpoint_due_at = time.monotonic() + checkpoint_seconds
        if not run.is_check_due():
            run.check_health(is_last=True)
        run.report()
        run.write_checkpoint()
        run.write_snapshot()
        return run.result("finished")


def _refuse_unsuitable(dataset: PackedDataset, config: RecipeConfig, recipe: str) -> None:
    channels, height, width = dataset.image_shape
    problems = check_dataset(
        recipe,
        config,
        width=width,
        height=height,
        channels=channels,
        count=len(dataset.images),
        classes=len(dataset.classes),
    )
    if problems:
        raise InvalidDatasetError("dataset.unsuitable", " ".join(problems))


def _profile(dataset: PackedDataset, hooks: Hooks, *, is_fresh: bool) -> DataProfile:
    """Look at the data, and tell the hook when the run begins."""
    profile = profile_dataset(dataset)
    if profile.distinct == 1:
        raise InvalidDatasetError(
            "dataset.all_equal",
            f"All {profile.count:,} images are equal: there is nothing to learn from them.",
        )
    if is_fresh:
        hooks.on_event("data_profile", profile.as_json())
        for warning in profile.warnings:
            hooks.on_event("data_warning", {"code": warning.code, "message": warning.message})
    return profile


def _choose(
    config: RecipeConfig, profile: DataProfile, hooks: Hooks, resume: Path | None
) -> tuple[str, RecipeConfig]:
    """What `auto` stands for: chosen at the start of a run, and as it was chosen on resume."""
    if resume is not None:
        name, stored = read_training_config(resume)
        return name, rechoose(name, stored, config)
    choice = choose_recipe(config, profile)
    hooks.on_event(
        "recipe_chosen",
        {
            "recipe": choice.recipe,
            "reason": choice.reason,
            "config": choice.config.model_dump(mode="json"),
        },
    )
    return choice.recipe, choice.config
