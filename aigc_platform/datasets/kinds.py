"""Job kind `dataset_import`: archive or built-in set in, packed version out."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from aigc_platform.datasets.models import Dataset, DatasetStatus, DatasetVersion
from aigc_platform.datasets.specs import DatasetImportSpec, UploadSource
from aigc_platform.jobs.kinds import InputFile, JobKind, JsonObject, RunnerInput, RunnerJob
from aigc_platform.jobs.models import Artifact, Job
from aigc_platform.storage.exceptions import ObjectCorruptError

_ENDED_EARLY = {
    "code": "dataset.import_ended",
    "message": "The import ended before the data set was read; create it again to try once more.",
    "errors": [],
}
_OTHER_BYTES = {
    "code": "dataset.sha256_mismatch",
    "message": "The uploaded bytes do not have the SHA-256 you stated; create the data set again and upload "
    "the file once more.",
    "errors": [],
}


class DatasetImportKind(JobKind):
    name = "dataset_import"
    queue = "cpu.io"
    spec_type = DatasetImportSpec
    memory_limit_bytes = 4 * 1024**3

    def prepare(self, job: Job) -> RunnerJob:
        spec = DatasetImportSpec.model_validate(job.spec)
        content = spec.model_dump(mode="json", exclude={"dataset"})
        content["builtin_folder"] = str(settings.FASHION_MNIST_DIR)
        return RunnerJob(spec=content, inputs=_inputs(spec))

    def in_use(self, job: Job) -> str | None:
        version = DatasetVersion.objects.filter(import_job=job).select_related("dataset").first()
        return None if version is None else f"The data set {version.dataset.name} is made of the job's files."

    def complete(self, job: Job, artifacts: Sequence[Artifact], result: JsonObject) -> JsonObject:
        spec = DatasetImportSpec.model_validate(job.spec)
        dataset = Dataset.objects.select_for_update().get(pk=spec.dataset)
        by_role = {artifact.role: artifact for artifact in artifacts}
        version = DatasetVersion.objects.create(
            dataset=dataset,
            number=dataset.versions.count() + 1,
            import_job=job,
            sample_count=result["sample_count"],
            width=result["width"],
            height=result["height"],
            channels=result["channels"],
            classes=result["classes"],
            class_counts=result["class_counts"],
            manifest_sha256=by_role["manifest"].sha256,
            data=by_role["data"],
            manifest=by_role["manifest"],
            preview=by_role.get("grid"),
        )
        # A retried import may follow a rejected one.
        dataset.status, dataset.error, dataset.import_job = DatasetStatus.READY, None, job
        dataset.save(update_fields=["status", "error", "import_job"])
        return {"dataset": str(dataset.pk), "version": version.number, **result}

    def ended(self, job: Job) -> None:
        spec = DatasetImportSpec.model_validate(job.spec)
        Dataset.objects.filter(pk=spec.dataset, status=DatasetStatus.VALIDATING).update(
            status=DatasetStatus.REJECTED, error=_explain(job.error or _ENDED_EARLY)
        )


def _explain(error: JsonObject) -> JsonObject:
    """Say what the store's own errors mean for the person who uploaded."""
    return _OTHER_BYTES if error["code"] == ObjectCorruptError.code else error


def _inputs(spec: DatasetImportSpec) -> tuple[RunnerInput, ...]:
    if not isinstance(spec.source, UploadSource):
        return ()
    upload = spec.source.upload
    key = Dataset.objects.values_list("upload_key", flat=True).get(pk=spec.dataset)
    archive = InputFile(name="archive", key=key, sha256=upload.sha256, size=upload.size)
    return (RunnerInput(name="archive", files=(archive,), single=True),)


def packed_input(version: DatasetVersion) -> RunnerInput:
    """Return the packed folder of a version as a runner's input `dataset`."""
    return RunnerInput(
        name="dataset",
        files=(
            _stored("data.safetensors", version.data),
            _stored("manifest.json", version.manifest),
        ),
    )


def _stored(name: str, artifact: Any) -> InputFile:
    return InputFile(name=name, key=artifact.key, sha256=artifact.sha256, size=artifact.size)
