"""Writes: submit trainings, generations and evaluations, checked against the rows of other apps."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from pydantic import ValidationError

from aigc_platform.accounts.models import User
from aigc_platform.api.pointers import problems_of_pydantic
from aigc_platform.common.exceptions import FieldProblem, InvalidInputError, PlatformError
from aigc_platform.datasets.exceptions import DatasetNotFoundError
from aigc_platform.datasets.models import DatasetVersion
from aigc_platform.datasets.selectors import trainable_version
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.services import Submission, find_replay, submit_job
from aigc_platform.registry.exceptions import ModelNotFoundError
from aigc_platform.registry.models import ModelVersion
from aigc_platform.registry.selectors import resolve_version
from aigc_platform.studio.exceptions import RecipeNotFoundError
from aigc_platform.studio.kinds import generation_group_key
from aigc_platform.studio.specs import EvaluationSpec, GenerationSpec, TrainingSpec
from ml.catalog import (
    LARGEST_SEED,
    SHIPPED_EXTRACTORS,
    RecipeConfig,
    UnknownRecipeError,
    check_dataset,
    parse_config,
)


@dataclass(frozen=True)
class NewTraining:
    """What a user asks for; `config` as it came, checked here against the recipe."""

    dataset: UUID | str
    recipe: str
    config: Mapping[str, Any]
    model: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class NewGeneration:
    """What a user asks for. `seed` None draws one, which the job then tells."""

    model: str
    count: int
    seed: int | None = None
    classes: list[str] | None = None
    truncation: float = 1.0
    format: Literal["png"] = "png"
    delivery: Literal["files", "archive"] = "files"


@dataclass(frozen=True)
class NewEvaluation:
    """What a user asks for. `dataset` None takes the version that the model was trained on."""

    model: str
    dataset: UUID | str | None = None
    n: int | None = None
    seed: int = 0
    truncation: float = 1.0
    extractor: str | None = None


def submit_training(*, owner: User, new: NewTraining, submission: Submission) -> Job:
    """Check recipe, config and data set, and queue the training.

    Raises:
        InvalidInputError: with a JSON pointer per field.
        DatasetNotReadyError, DatasetRejectedError
    """
    replay = _find_replay(owner, submission)
    if replay is not None:
        return replay
    errors: list[FieldProblem] = []
    config = _parse(new, errors)
    version = _dataset_version(owner, new.dataset, errors)
    if config is None or version is None:
        raise InvalidInputError(errors[0].message, errors=errors)
    _check_fit(new.recipe, config, version)
    spec = TrainingSpec(
        dataset=version.dataset_id,
        dataset_version=version.pk,
        dataset_manifest_sha256=version.manifest_sha256,
        recipe=new.recipe,
        config=config.model_dump(mode="json"),
        model=new.model,
        licence=new.licence,
    )
    return submit_job(owner=owner, kind="training", spec=spec, submission=submission)


def submit_generation(*, owner: User, new: NewGeneration, submission: Submission) -> Job:
    """Check model, classes and count, and queue the generation.

    Raises:
        InvalidInputError: with a JSON pointer per field.
    """
    replay = _find_replay(owner, submission)
    if replay is not None:
        return replay
    version = _model_version(owner, new.model)
    _check_generation(new, version)
    spec = GenerationSpec(
        model=str(version),
        model_version=version.pk,
        count=new.count,
        seed=secrets.randbelow(LARGEST_SEED + 1) if new.seed is None else new.seed,
        classes=new.classes,
        truncation=new.truncation,
        format=new.format,
        delivery=new.delivery,
    )
    grouped = Submission(**(vars(submission) | {"group_key": generation_group_key(version.pk)}))
    return submit_job(owner=owner, kind="generation", spec=spec, submission=grouped)


def submit_evaluation(*, owner: User, new: NewEvaluation, submission: Submission) -> Job:
    """Check that model and data set belong together, and queue the evaluation.

    Raises:
        InvalidInputError: with a JSON pointer per field.
        DatasetNotReadyError, DatasetRejectedError
    """
    replay = _find_replay(owner, submission)
    if replay is not None:
        return replay
    model = _model_version(owner, new.model)
    errors: list[FieldProblem] = []
    if new.dataset is None:
        # A version with its lineage: the rows of its data set stay as long as it does.
        dataset: DatasetVersion | None = DatasetVersion.objects.get(pk=model.dataset_version_id)
    else:
        dataset = _dataset_version(owner, new.dataset, errors)
    errors += [] if dataset is None else _mismatches(model, dataset)
    errors += _unfit_extractor(model, new.extractor)
    if dataset is None or errors:
        raise InvalidInputError(errors[0].message, errors=errors)
    spec = EvaluationSpec(
        model=str(model),
        model_version=model.pk,
        dataset=dataset.dataset_id,
        dataset_version=dataset.pk,
        dataset_manifest_sha256=dataset.manifest_sha256,
        n=new.n,
        seed=new.seed,
        truncation=new.truncation,
        extractor=new.extractor,
    )
    return submit_job(owner=owner, kind="evaluation", spec=spec, submission=submission)


def _model_version(owner: User, reference: str) -> ModelVersion:
    try:
        return resolve_version(owner, reference)
    except ModelNotFoundError as error:
        raise _field_error("/model", error) from error


def _mismatches(model: ModelVersion, dataset: DatasetVersion) -> list[FieldProblem]:
    """Why these two cannot be compared; whether enough images are held out, the worker alone can tell."""
    problems = []
    made, real = (
        f"{thing.width}x{thing.height} px with {thing.channels} channels" for thing in (model, dataset)
    )
    if made != real:
        message = f"{model} makes images of {made}; those of {dataset} are {real}."
        problems.append(FieldProblem("/dataset", "evaluation.shape", message))
    if model.classes and dataset.classes and model.classes != dataset.classes:
        message = f"The classes of {model} are not those of {dataset}."
        problems.append(FieldProblem("/dataset", "evaluation.classes", message))
    return problems


def _unfit_extractor(model: ModelVersion, name: str | None) -> list[FieldProblem]:
    channels = SHIPPED_EXTRACTORS[name].channels if name is not None else ()
    if not channels or model.channels in channels:
        return []
    message = f"{name} cannot see images of {model.channels} channels, which {model} makes."
    return [FieldProblem("/extractor", "evaluation.extractor", message)]


def _find_replay(owner: User, submission: Submission) -> Job | None:
    """Look before checking: a repeated request gets its answer again, whatever has changed since."""
    return find_replay(
        owner=owner, idempotency_key=submission.idempotency_key, request_sha256=submission.request_sha256
    )


def _parse(new: NewTraining, errors: list[FieldProblem]) -> RecipeConfig | None:
    try:
        return parse_config(new.recipe, new.config)
    except UnknownRecipeError as error:
        errors.append(FieldProblem("/recipe", RecipeNotFoundError.code, str(error)))
    except ValidationError as error:
        errors += problems_of_pydantic(error, "/config")
    return None


def _dataset_version(owner: User, dataset: UUID | str, errors: list[FieldProblem]) -> DatasetVersion | None:
    try:
        return trainable_version(owner, UUID(str(dataset)))
    except (DatasetNotFoundError, ValueError):
        message = f"There is no data set {str(dataset)!r} of yours."
        errors.append(FieldProblem("/dataset", DatasetNotFoundError.code, message))
        return None


def _check_fit(recipe: str, config: RecipeConfig, version: DatasetVersion) -> None:
    problems = check_dataset(
        recipe,
        config,
        width=version.width,
        height=version.height,
        channels=version.channels,
        count=version.sample_count,
        classes=len(version.classes),
    )
    if problems:
        errors = [FieldProblem("/dataset", "dataset.does_not_fit_recipe", problem) for problem in problems]
        raise InvalidInputError(problems[0], errors=errors)


def _check_generation(new: NewGeneration, version: ModelVersion) -> None:
    errors = []
    if not 1 <= new.count <= settings.GENERATION_MAX_COUNT:
        limit = f"Ask for 1 to {settings.GENERATION_MAX_COUNT} outputs, not {new.count}."
        errors.append(FieldProblem("/count", "generation.count_out_of_range", limit))
    for position, name in enumerate(new.classes or []):
        if name not in version.classes:
            known = ", ".join(version.classes) or "none"
            message = f"{version} has no class {name!r}; its classes are: {known}."
            errors.append(FieldProblem(f"/classes/{position}", "generation.unknown_class", message))
    if errors:
        raise InvalidInputError(errors[0].message, errors=errors)


def _field_error(pointer: str, error: PlatformError) -> InvalidInputError:
    return InvalidInputError(error.message, errors=[FieldProblem(pointer, error.code, error.message)])
