"""Data sets, trainings and generations as users make them, small enough for a test."""

from typing import Any

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import Dataset
from aigc_platform.datasets.services import NewDataset, create_builtin_dataset
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.services import Submission
from aigc_platform.studio.services import (
    NewEvaluation,
    NewGeneration,
    NewTraining,
    submit_evaluation,
    submit_generation,
    submit_training,
)

TINY_MLP = {
    "generator_widths": [16, 16],
    "discriminator_widths": [16, 16],
    "latent_size": 8,
    "batch_size": 16,
}


def import_digits(owner: User) -> Dataset:
    return create_builtin_dataset(owner=owner, new=NewDataset(name="digits"), builtin="digits")


def train_tiny(owner: User, dataset: Dataset, *, model: str | None = None, **config: Any) -> Job:
    """Queue an `mlp-gan` of a few thousand weights."""
    new = NewTraining(dataset=dataset.pk, recipe="mlp-gan", config=TINY_MLP | config, model=model)
    return submit_training(owner=owner, new=new, submission=Submission())


def generate(owner: User, model: str, **wishes: Any) -> Job:
    return submit_generation(owner=owner, new=NewGeneration(model=model, **wishes), submission=Submission())


def evaluate(owner: User, model: str, **wishes: Any) -> Job:
    return submit_evaluation(owner=owner, new=NewEvaluation(model=model, **wishes), submission=Submission())
