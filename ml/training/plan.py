"""What a run is to do: the data and which of it to learn from, the settings, where to write, whom to tell."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ml.catalog import RecipeConfig, check_dataset, is_conditional
from ml.checkpoint import HoldoutRecord, read_training_config
from ml.codecs.provenance import Provenance
from ml.data.packed import PackedDataset
from ml.data.profile import DataProfile, profile_dataset
from ml.data.split import Split, default_holdout, split_dataset
from ml.errors import InvalidDatasetError
from ml.hooks import Hooks
from ml.training.auto import choose_recipe, rechoose


@dataclass(frozen=True)
class Plan:
    """Made by `make_plan`; does not change while the run lasts.

    Attributes:
        split: what is learned from, and what is held out.
        profile: of the data.
        recipe: name of the recipe; what was chosen, for `auto`.
        config: settings of that recipe, the held-out share filled in.
        out: folder for everything the run writes.
        resume: training state to go on from.
    """

    dataset: PackedDataset
    split: Split
    profile: DataProfile
    recipe: str
    config: RecipeConfig
    out: Path
    hooks: Hooks
    resume: Path | None
    device: torch.device
    provenance: Provenance

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that are learned; empty for an unconditional run."""
        names = self.dataset.classes
        return names if is_conditional(self.config, classes=len(names)) else ()

    @property
    def holdout(self) -> HoldoutRecord:
        """What was held out, for the record."""
        split = self.split
        return HoldoutRecord(
            share=split.holdout, method=split.method, train=len(split.train), held_out=len(split.test)
        )


def make_plan(
    dataset: PackedDataset,
    config: RecipeConfig,
    *,
    recipe: str,
    out: Path,
    hooks: Hooks,
    resume: Path | None,
    device: torch.device,
    provenance: Provenance,
) -> Plan:
    """Split the data, look at it, choose what is left open, and refuse what cannot work.

    Raises:
        InvalidDatasetError: the data does not suit the recipe.
        InvalidCheckpointError: `resume` holds no training state.
    """
    share = default_holdout(dataset) if config.holdout is None else config.holdout
    split = split_dataset(dataset, holdout=share)
    config = config.model_copy(update={"holdout": split.holdout})
    _refuse_unsuitable(dataset, split, config, recipe)
    profile = profile_dataset(dataset, split)
    if profile.distinct == 1:
        raise InvalidDatasetError(
            "dataset.all_equal",
            f"All {profile.count:,} images are equal: there is nothing to learn from them.",
        )
    plan = Plan(
        dataset=dataset,
        split=split,
        profile=profile,
        recipe=recipe,
        config=config,
        out=out,
        hooks=hooks,
        resume=resume,
        device=device,
        provenance=provenance,
    )
    if resume is None:
        _tell(plan)
    if recipe == "auto":
        plan = _chosen(plan)
        _refuse_unsuitable(dataset, split, plan.config, plan.recipe)
    return plan


def _refuse_unsuitable(dataset: PackedDataset, split: Split, config: RecipeConfig, recipe: str) -> None:
    channels, height, width = dataset.image_shape
    problems = check_dataset(
        recipe,
        config,
        width=width,
        height=height,
        channels=channels,
        count=len(split.train),
        classes=len(dataset.classes),
    )
    if problems:
        if len(split.test):
            problems.append(f"{len(split.test):,} of {len(dataset.images):,} images are held out.")
        raise InvalidDatasetError("dataset.unsuitable", " ".join(problems))


def _tell(plan: Plan) -> None:
    """What the data are like, and what of them is held out."""
    hooks, profile, held_out = plan.hooks, plan.profile, len(plan.split.test)
    hooks.on_event("data_profile", profile.as_json())
    for warning in profile.warnings:
        hooks.on_event("data_warning", {"code": warning.code, "message": warning.message})
    message = (
        f"{held_out:,} of {profile.count:,} images are held out for evaluation: {plan.split.method}."
        if held_out
        else "No images are held out: an evaluation would measure against what was learned."
    )
    record: dict[str, Any] = plan.holdout.model_dump()
    hooks.on_event("data_split", {**record, "message": message})


def _chosen(plan: Plan) -> Plan:
    """What `auto` stands for: chosen at the start of a run, and as it was chosen on resume."""
    if plan.resume is not None:
        name, stored = read_training_config(plan.resume)
        return replace(plan, recipe=name, config=rechoose(name, stored, plan.config))
    choice = choose_recipe(plan.config, plan.profile)
    plan.hooks.on_event(
        "recipe_chosen",
        {
            "recipe": choice.recipe,
            "reason": choice.reason,
            "config": choice.config.model_dump(mode="json"),
        },
    )
    return replace(plan, recipe=choice.recipe, config=choice.config)
