"""Job kind `evaluation`: measure a model version against a data set, each figure beside its floor."""

import torch
from pydantic import BaseModel, Field, field_validator

from ml.catalog import LARGEST_SEED, SHIPPED_EXTRACTORS
from ml.data.packed import MANIFEST_FILENAME, PackedDataset
from ml.errors import InvalidCheckpointError
from ml.evaluate import EvaluationReport, evaluate
from ml.files import sha256_of_file, write_json
from ml.sample import LARGEST_TRUNCATION
from workers.runner.channel import Channel
from workers.runner.failures import JobError
from workers.runner.job import Job, json_object, only_job
from workers.runner.protocol import ExitStatus, Start
from workers.runner.watching import watched

REPORT_FILENAME = "evaluation.json"
_DEVICE = torch.device("cpu")
"""Figures are computed on the processor; samples too, so that a version has the same figures everywhere."""


class EvaluationSpec(BaseModel):
    """What the job kind's spec holds for the runner.

    Attributes:
        n: samples, and real images on each side; None takes as many as are held out, at most 10,000.
        seed: of the samples and every random choice.
        truncation: factor on the noise.
        extractor: name of a feature space; None lets the data choose.
    """

    n: int | None = None
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    truncation: float = Field(default=1.0, gt=0, le=LARGEST_TRUNCATION)
    extractor: str | None = None

    @field_validator("extractor")
    @classmethod
    def _is_shipped(cls, name: str | None) -> str | None:
        """Names only: `ml.evaluate` would take the path of a file, too."""
        if name is not None and name not in SHIPPED_EXTRACTORS:
            raise ValueError(f"there is no feature extractor {name!r}")
        return name


class EvaluationHandler:
    """Evaluates once; torch's memory goes with the process."""

    def run(self, start: Start, channel: Channel) -> ExitStatus:
        """Evaluate and end."""
        job = only_job(start, channel)
        try:
            with watched(job):
                return _evaluate(job)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the job's end must be told
            return job.fail(error)


def create_handler() -> EvaluationHandler:
    return EvaluationHandler()


def _evaluate(job: Job) -> ExitStatus:
    spec = EvaluationSpec.model_validate(job.item.spec)
    job.progress(0, 100, "percent", at_once=True)
    folder = job.input_path("dataset")
    try:
        report = evaluate(
            job.input_path("snapshot"),
            PackedDataset.load(folder),
            n=spec.n,
            seed=spec.seed,
            truncation=spec.truncation,
            extractor=spec.extractor,
            device=_DEVICE,
            on_stage=lambda _stage, done: job.progress(round(100 * done, 1), 100, "percent"),
        )
    except InvalidCheckpointError as error:
        # Its bytes had the right hash on the way here, so every worker would refuse it.
        raise JobError("invalid_input", error.code, error.message) from error
    return _publish(job, report, dataset_manifest_sha256=sha256_of_file(folder / MANIFEST_FILENAME))


def _publish(job: Job, report: EvaluationReport, *, dataset_manifest_sha256: str) -> ExitStatus:
    """Name the report as an artifact, put the figures into the job's own, and end it well."""
    document = report.model_dump(mode="json")
    provenance = {**job.item.provenance, "dataset_manifest_sha256": dataset_manifest_sha256}
    path = job.workspace / REPORT_FILENAME
    write_json(path, json_object(document | {"provenance": provenance}))
    job.artifact("report", path, metadata={"n": report.n, "seed": report.seed})
    metrics = {figure.name: figure.value for figure in report.figures}
    job.progress(100, 100, "percent", metrics=metrics, at_once=True)
    return job.finish(
        {
            "n": report.n,
            "seed": report.seed,
            "figures": {figure["name"]: _short(figure) for figure in document["figures"]},
            "extractor": document["extractor"],
            "split": document["split"],
            "classes": document["classes"],
            "skipped": document["skipped"],
            "warnings": document["warnings"],
        }
    )


def _short(figure: dict[str, object]) -> dict[str, object]:
    """What a list of figures shows; the report says the rest."""
    return {name: figure[name] for name in ("value", "floor", "better", "uncertainty", "n")}
