"""What jobs of the studio are asked to do. Every value is resolved: the spec alone says what will run."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

LARGEST_TRUNCATION = 2.0
SMALLEST_EVALUATION, LARGEST_EVALUATION = 50, 50_000
"""Samples of an evaluation: fewer mean nothing, more tell nothing new."""


class TrainingSpec(BaseModel):
    """A training of `recipe` on one version of a data set.

    Attributes:
        dataset: the data set's id; dataset_version: the immutable version that is read.
        config: every setting of the recipe, defaults filled in.
        model: name to publish the snapshot under, if any.
        licence: of the weights, in its owner's words, for the model card.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: UUID
    dataset_version: UUID
    dataset_manifest_sha256: str
    recipe: str
    config: dict[str, Any]
    model: str | None = None
    licence: str | None = None


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


class EvaluationSpec(BaseModel):
    """Figures of one model version against one version of a data set.

    Attributes:
        model: `name:number`, for people; model_version: the id that is meant.
        dataset: the data set's id; dataset_version: the immutable version that is read.
        n: samples, and real images on each side; None takes as many as the data set's own split holds out, at
            most 10,000.
        seed: of the samples and every random choice; the same for all by default, so that figures compare.
        extractor: a name of `ml.catalog.SHIPPED_EXTRACTORS`; None lets the data choose.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    model_version: UUID
    dataset: UUID
    dataset_version: UUID
    dataset_manifest_sha256: str
    n: int | None = Field(default=None, ge=SMALLEST_EVALUATION, le=LARGEST_EVALUATION)
    seed: int = 0
    truncation: float = 1.0
    extractor: str | None = None
