"""The job kinds `training`, `generation` and `evaluation`."""

from collections.abc import Sequence
from importlib.metadata import version
from uuid import UUID

from aigc_platform.datasets.kinds import packed_input
from aigc_platform.datasets.models import DatasetVersion
from aigc_platform.jobs.kinds import InputFile, JobKind, JsonObject, RunnerInput, RunnerJob
from aigc_platform.jobs.models import Artifact, Job
from aigc_platform.registry.models import ModelVersion
from aigc_platform.registry.services import Publication, publish_version
from aigc_platform.studio.exceptions import WrongDeliveryError
from aigc_platform.studio.specs import EvaluationSpec, GenerationSpec, TrainingSpec

CODE_VERSION = version("aigc-platform")
_LEAN = "lean"
"""Beside a generation's spec, for its runner alone: hold as little in memory as possible."""


class TrainingKind(JobKind):
    name = "training"
    resource = "trainings"
    queue = "gpu.train"
    spec_type = TrainingSpec
    # No `less_memory`: with a smaller batch another model would be trained than the one that was asked for.
    resumable = True
    uses_all_devices = True
    is_tracked = True

    def prepare(self, job: Job) -> RunnerJob:
        spec = TrainingSpec.model_validate(job.spec)
        dataset_version = _dataset_version(spec.dataset_version)
        return RunnerJob(
            spec=spec.model_dump(mode="json", include={"recipe", "config", "model", "licence"}),
            inputs=(packed_input(dataset_version),),
            provenance={
                "creator_tool": f"aigc-platform {CODE_VERSION}",
                "dataset": dataset_version.dataset.name,
                "dataset_version": str(dataset_version.pk),
                "dataset_manifest_sha256": spec.dataset_manifest_sha256,
            },
        )

    def complete(self, job: Job, artifacts: Sequence[Artifact], result: JsonObject) -> JsonObject:
        spec = TrainingSpec.model_validate(job.spec)
        output: JsonObject = {"images_seen": result["images_seen"], "metrics": result["metrics"]}
        if spec.model is not None:
            published = publish_version(
                job=job, name=spec.model, publication=_publication(spec, artifacts, result)
            )
            output |= {"model": str(published), "model_version": str(published.pk)}
        return output

    def in_use(self, job: Job) -> str | None:
        published = ModelVersion.objects.filter(job=job).select_related("model").first()
        return None if published is None else f"The model version {published} is made of the job's files."


class GenerationKind(JobKind):
    name = "generation"
    resource = "generations"
    queue = "gpu.sample"
    spec_type = GenerationSpec
    max_group = 32
    warm = True

    def prepare(self, job: Job) -> RunnerJob:
        wanted = dict(job.spec)
        lean = wanted.pop(_LEAN, False)
        spec = GenerationSpec.model_validate(wanted)
        model_version = _model_version(spec.model_version)
        content = spec.model_dump(mode="json", exclude={"kind", "model", "model_version"})
        return RunnerJob(
            spec=content | {_LEAN: lean},
            inputs=(_snapshot_input(model_version),),
            provenance={
                "creator_tool": f"aigc-platform {CODE_VERSION}",
                "model_version": str(model_version),
                "model_sha256": model_version.weights.sha256,
            },
        )

    def complete(self, job: Job, artifacts: Sequence[Artifact], result: JsonObject) -> JsonObject:
        spec = GenerationSpec.model_validate(job.spec)
        _check_delivery(spec, artifacts)
        return {"model": spec.model, "seed": spec.seed, "count": result["count"], "files": len(artifacts)}

    def less_memory(self, spec: JsonObject) -> JsonObject:
        """Make the same images with fewer of them in memory at once (promise R2 leaves the passes themselves alone)."""
        return spec | {_LEAN: True}


class EvaluationKind(JobKind):
    name = "evaluation"
    resource = "evaluations"
    # Figures are computed on the processor: a device would wait for them.
    queue = "cpu.io"
    spec_type = EvaluationSpec

    def prepare(self, job: Job) -> RunnerJob:
        spec = EvaluationSpec.model_validate(job.spec)
        model_version = _model_version(spec.model_version)
        dataset_version = _dataset_version(spec.dataset_version)
        return RunnerJob(
            spec=spec.model_dump(mode="json", include={"n", "seed", "truncation", "extractor"}),
            inputs=(_snapshot_input(model_version), packed_input(dataset_version)),
            provenance={
                "creator_tool": f"aigc-platform {CODE_VERSION}",
                "model_version": str(model_version),
                "model_sha256": model_version.weights.sha256,
                "dataset": dataset_version.dataset.name,
                "dataset_version": str(dataset_version.pk),
            },
        )

    def complete(self, job: Job, artifacts: Sequence[Artifact], result: JsonObject) -> JsonObject:  # noqa: ARG002 - no rows to write
        spec = EvaluationSpec.model_validate(job.spec)
        return {"model": spec.model, "dataset": str(spec.dataset), **result}


def _check_delivery(spec: GenerationSpec, artifacts: Sequence[Artifact]) -> None:
    """Publish what was asked for or nothing: a runner may be wrong about its own work."""
    role, wanted = ("image", spec.count) if spec.delivery == "files" else ("archive", 1)
    indices = sorted(artifact.index for artifact in artifacts if artifact.role == role)
    if indices != list(range(wanted)):
        raise WrongDeliveryError(
            f"{wanted:,} files of the role {role} were asked for, and the runner delivered {len(indices):,}. "
            "Nothing was published; this is a fault of the platform, please report it."
        )


def generation_group_key(model_version_id: UUID) -> str:
    """Generations of one model version may share forward passes: promise R2 makes that invisible."""
    return f"generation:{model_version_id}"


def _model_version(pk: UUID) -> ModelVersion:
    return ModelVersion.objects.select_related("model", "weights", "network").get(pk=pk)


def _dataset_version(pk: UUID) -> DatasetVersion:
    return DatasetVersion.objects.select_related("data", "manifest", "dataset").get(pk=pk)


def _snapshot_input(model_version: ModelVersion) -> RunnerInput:
    files = [("snapshot.safetensors", model_version.weights), ("snapshot.json", model_version.network)]
    return RunnerInput(
        name="snapshot",
        files=tuple(
            InputFile(name=name, key=artifact.key, sha256=artifact.sha256, size=artifact.size)
            for name, artifact in files
        ),
    )


def _publication(spec: TrainingSpec, artifacts: Sequence[Artifact], result: JsonObject) -> Publication:
    by_place = {(artifact.role, artifact.index): artifact for artifact in artifacts}
    image = result["image"]
    return Publication(
        dataset_version_id=spec.dataset_version,
        dataset_manifest_sha256=spec.dataset_manifest_sha256,
        recipe=spec.recipe,
        config=spec.config,
        classes=result["classes"],
        width=image["width"],
        height=image["height"],
        channels=image["channels"],
        images_seen=result["images_seen"],
        metrics=result["metrics"],
        code_version=CODE_VERSION,
        weights=by_place["snapshot", 0],
        network=by_place["snapshot", 1],
        card=by_place.get(("card", 0)),
        card_content=result.get("card", {}),
        card_text=by_place.get(("card_text", 0)),
        card_picture=by_place.get(("card_picture", 0)),
        grid=by_place.get(("grid", 0)),
    )
