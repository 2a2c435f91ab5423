"""Data sets, trainings, generations and evaluations that have ended, with real rows and real objects but no runner.

The jobs go through claim and finish as a worker's do; only the files are made here, small ones.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import Dataset
from aigc_platform.datasets.services import NewDataset, create_builtin_dataset
from aigc_platform.jobs import leases
from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.finishing import Completion, StoredFile, complete_jobs
from aigc_platform.jobs.fleet import register_worker
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.services import Submission
from aigc_platform.jobs.states import StatusReason
from aigc_platform.registry.models import ModelVersion
from aigc_platform.storage import keys
from aigc_platform.storage.object_store import get_object_store
from aigc_platform.studio.services import (
    NewEvaluation,
    NewGeneration,
    NewTraining,
    submit_evaluation,
    submit_generation,
    submit_training,
)

CLASSES = [str(digit) for digit in range(10)]
IMAGE = {"width": 32, "height": 32, "channels": 1}


@dataclass(frozen=True)
class File:
    """An output of the runner that never was."""

    role: str
    index: int
    content: bytes
    filename: str
    media_type: str = "application/octet-stream"


def claim(job: Job) -> Claim:
    """Claim this job with a worker of its queue, whatever else waits there."""
    worker = register_worker(
        name=f"worker-of-{job.pk}", host="h", boot_id="b", pid=1, devices=[], queues=[job.queue]
    )
    for _ in range(20):
        for taken in claim_jobs(worker, device="cpu"):
            if taken.job.pk == job.pk:
                return taken
    raise AssertionError(f"{job} was not claimed")


def start(job: Job) -> Claim:
    taken = claim(job)
    leases.report_running([(taken.job, taken.fence)], actor=taken.actor, device="cpu", runner_pid=1)
    return taken


def succeed(job: Job, files: Sequence[File], result: Mapping[str, Any]) -> Job:
    """Run the job to success: upload the files and publish them as its worker would."""
    taken = start(job)
    stored = [_store(taken, file) for file in files]
    complete_jobs([Completion(taken.job, taken.fence, stored, result)], actor=taken.actor)
    job.refresh_from_db()
    return job


def fail(job: Job, error: Mapping[str, Any], *, reason: StatusReason = StatusReason.INVALID_INPUT) -> Job:
    taken = start(job)
    leases.fail_job(taken.job, taken.fence, actor=taken.actor, reason=reason, error=error)
    job.refresh_from_db()
    return job


def finish_import(dataset: Dataset, *, count: int = 1797, classes: Sequence[str] = CLASSES) -> Dataset:
    """Bring the data set's import job to success."""
    assert dataset.import_job is not None
    files = [
        File("data", 0, b"packed", "data.safetensors", "application/vnd.safetensors"),
        File("manifest", 0, b"{}", "manifest.json", "application/json"),
        File("grid", 0, b"\x89PNG", "grid.png", "image/png"),
    ]
    result = {
        "sample_count": count,
        **IMAGE,
        "classes": list(classes),
        "class_counts": [count // len(classes)] * len(classes) if classes else [],
        "data_sha256": hashlib.sha256(b"packed").hexdigest(),
        "manifest_sha256": hashlib.sha256(b"{}").hexdigest(),
    }
    succeed(dataset.import_job, files, result)
    dataset.refresh_from_db()
    return dataset


def ready_dataset(owner: User, *, name: str = "digits", **facts: Any) -> Dataset:
    dataset = create_builtin_dataset(owner=owner, new=NewDataset(name=name), builtin="digits")
    return finish_import(dataset, **facts)


def queued_training(owner: User, dataset: Dataset | None = None, **wishes: Any) -> Job:
    new = NewTraining(
        dataset=(dataset or ready_dataset(owner)).pk,
        recipe=wishes.pop("recipe", "dcgan"),
        config=wishes.pop("config", {"kimg": 1}),
        model=wishes.pop("model", None),
    )
    return submit_training(owner=owner, new=new, submission=Submission(**wishes))


def finish_training(job: Job, *, classes: Sequence[str] = CLASSES, image: Mapping[str, int] = IMAGE) -> Job:
    weights = f"weights of {job.pk}".encode()
    files = [
        File("snapshot", 0, weights, "snapshot.safetensors", "application/vnd.safetensors"),
        File("snapshot", 1, b"{}", "snapshot.json", "application/json"),
        File("grid", 0, b"\x89PNG", "grid.png", "image/png"),
        File("metrics", 0, b"{}\n", "metrics.jsonl", "application/jsonl"),
        File("card", 0, b"{}", "model_card.json", "application/json"),
        File("card_text", 0, b"# digits", "MODEL_CARD.md", "text/markdown"),
        File("card_picture", 0, b"\x89PNG card", "model_card.png", "image/png"),
    ]
    result = {
        "images_seen": 1024,
        "seconds": 1.5,
        "metrics": {"loss_generator": 0.7},
        "classes": list(classes),
        "image": image,
        "card": {"format": 1, "recipe": {"name": job.spec["recipe"]}},
    }
    return succeed(job, files, result)


def published_model(
    owner: User, name: str = "digits", *, classes: Sequence[str] = CLASSES, image: Mapping[str, int] = IMAGE
) -> ModelVersion:
    """Return a version that a finished training has just published."""
    job = finish_training(queued_training(owner, model=name), classes=classes, image=image)
    return ModelVersion.objects.select_related("model").get(job=job)


def queued_generation(owner: User, model: str, **wishes: Any) -> Job:
    new = NewGeneration(model=model, count=wishes.pop("count", 3), seed=wishes.pop("seed", 7), **wishes)
    return submit_generation(owner=owner, new=new, submission=Submission())


def finish_generation(job: Job) -> Job:
    files = [
        File("image", index, f"image {index} of {job.pk}".encode(), f"d-{index:06d}.png", "image/png")
        for index in range(job.spec["count"])
    ]
    files.append(File("grid", 0, b"\x89PNG grid", "grid.png", "image/png"))
    return succeed(job, files, {"count": job.spec["count"]})


def queued_evaluation(owner: User, model: str, **wishes: Any) -> Job:
    return submit_evaluation(owner=owner, new=NewEvaluation(model=model, **wishes), submission=Submission())


def finish_evaluation(job: Job) -> Job:
    figure = {"value": 1.5, "floor": 0.5, "better": "lower", "uncertainty": None, "n": 100}
    result = {"n": 100, "seed": job.spec["seed"], "figures": {"frechet_distance": figure}, "warnings": []}
    report = File("report", 0, b"{}", "evaluation.json", "application/json")
    return succeed(job, [report], result)


def _store(taken: Claim, file: File) -> StoredFile:
    sha256 = hashlib.sha256(file.content).hexdigest()
    suffix = file.filename.rpartition(".")[2]
    key = keys.artifact_key(taken.job.pk, taken.fence, file.role, file.index, sha256, suffix)
    get_object_store().put_bytes(key, file.content, media_type=file.media_type, filename=file.filename)
    return StoredFile(
        role=file.role,
        index=file.index,
        key=key,
        sha256=sha256,
        size=len(file.content),
        media_type=file.media_type,
        filename=file.filename,
    )
