"""What trainings and generations are asked to do. Every value is resolved: the spec alone says what will run."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

LARGEST_TRUNCATION = 2.0


class TrainingSpec(BaseModel):
    """A training of `recipe` on one version of a data set.

    Attributes:
        dataset: the data set's id; dataset_version: the immutable version that is read.
        config: every setting of the recipe, defaults filled in.
        model: name to publish the snapshot under, if any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: UUID
    dataset_version: UUID
    dataset_manifest_sha256: str
    recipe: str
    config: dict[str, Any]
    model: str | None = None


class GenerationSpec(BaseModel):
    """Samples of one model version.

    Attributes:
        model: `name:number`, for people; model_version: the id that is meant.
        count: how many outputs; output i depends on model version, parameters, seed and i alone.
        classes: names of classes in turn, or None for all of the generator's.
        truncation: scale of the noise; below 1 is less varied and more typical.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sample"] = "sample"
    model: str
    model_version: UUID
    count: int
    seed: int
    classes: list[str] | None = None
    truncation: float = 1.0
    format: Literal["png"] = "png"
    delivery: Literal["files", "archive"] = "files"
