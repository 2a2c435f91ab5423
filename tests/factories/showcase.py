"""A platform with something of everything in it, for pages to show: made by the services, files in the store."""

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aigc_platform.accounts.models import User
from aigc_platform.datasets.models import Dataset
from aigc_platform.datasets.services import NewDataset, complete_upload, create_upload_dataset
from aigc_platform.jobs import finishing, fleet, leases, services
from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.finishing import Completion, StoredCheckpoint, StoredFile
from aigc_platform.jobs.models import Job, Worker, WorkerState
from aigc_platform.jobs.states import StatusReason
from aigc_platform.registry.models import ModelVersion
from aigc_platform.storage import keys
from aigc_platform.storage.object_store import get_object_store
from aigc_platform.webhooks.claiming import claim_due, note
from aigc_platform.webhooks.models import FailureReason, WebhookEndpoint
from aigc_platform.webhooks.sending import Outcome
from tests.factories.accounts import make_user
from tests.factories.studio import generate, import_digits, train_tiny
from tests.factories.webhooks import make_endpoint

TOTAL_IMAGES = 40_000
_REPORTS = 25
CLASSES = [str(digit) for digit in range(10)]
LIMIT = "It makes grey images of 8x8 px like those it learned from, and nothing else."


@dataclass(frozen=True)
class Showcase:
    """The rows that pages are looked at with."""

    owner: User
    worker: Worker
    dataset: Dataset
    rejected: Dataset
    version: ModelVersion
    trained: Job
    generated: Job
    failed: Job
    paused: Job
    running: Claim
    queued: Job
    hooks: WebhookEndpoint


def showcase() -> Showcase:
    owner = make_user()
    hooks = make_endpoint(owner)
    worker = fleet.register_worker(
        name=f"gpu-box-{owner.username}",
        host="gpu-box",
        boot_id="test-boot",
        pid=4242,
        devices=[{"id": "GPU-1", "kind": "cuda", "name": "NVIDIA L4", "memory_bytes": 24 * 1024**3}],
        queues=["gpu.train", "gpu.sample", "cpu.io"],
    )
    dataset = import_digits(owner)
    finish_import(start(worker, _job(dataset)))
    trained = finish_training(start(worker, train_tiny(owner, dataset, model="my-digits")))
    generated = finish_generation(start(worker, generate(owner, "my-digits", count=24, seed=7)))
    failed = _fail_training(start(worker, train_tiny(owner, dataset, model="broken-digits")))
    paused = services.request_pause(train_tiny(owner, dataset).pk, actor=f"user:{owner.pk}")
    rejected = rejected_dataset(owner, worker)
    running = start(worker, train_tiny(owner, dataset, model="my-digits"))
    report_training(running, until=0.6)
    fleet.beat(worker, WorkerState.BUSY)
    _send_some(hooks)
    return Showcase(
        owner=owner,
        worker=worker,
        dataset=Dataset.objects.get(pk=dataset.pk),
        rejected=rejected,
        version=ModelVersion.objects.get(job=trained),
        trained=trained,
        generated=generated,
        failed=failed,
        paused=paused,
        running=running,
        queued=generate(owner, "my-digits:1", count=8, seed=8),
        hooks=hooks,
    )


def _send_some(hooks: WebhookEndpoint) -> None:
    """Let the first message arrive, the second fail, and the others wait."""
    for outcome in (Outcome(status_code=204), Outcome(FailureReason.BAD_STATUS, 503)):
        [claimed] = claim_due(1)
        note(claimed, outcome)
    hooks.refresh_from_db()


def start(worker: Worker, job: Job) -> Claim:
    """Claim the one queued job that is due, and let its runner be at work."""
    [claim] = claim_jobs(worker, device="NVIDIA L4")
    assert claim.job.pk == job.pk
    leases.report_running([(job, claim.fence)], actor=claim.actor, device="NVIDIA L4", runner_pid=4343)
    return claim


def report_training(claim: Claim, *, until: float) -> None:
    """Report progress with falling losses up to this part of the run, a preview and a checkpoint."""
    for step in range(int(_REPORTS * until) + 1):
        share = step / _REPORTS
        progress = {
            "current": share * TOTAL_IMAGES,
            "total": TOTAL_IMAGES,
            "unit": "images",
            "rate": 2100.0,
            "eta_seconds": (1 - share) * TOTAL_IMAGES / 2100,
            "metrics": {
                "loss_discriminator": 1.386 - 0.5 * share + 0.05 * math.sin(step),
                "loss_generator": 0.7 + 0.9 * share + 0.08 * math.cos(step),
                "real_logits": share,
                "fake_logits": -share,
                "diversity": 0.2 + 0.1 * share,
            },
        }
        leases.report_progress(claim.job, claim.fence, progress, actor=claim.actor, as_event=True)
        if step and step % 8 == 0:
            _preview(claim, step * TOTAL_IMAGES // _REPORTS)
    step = int(until * TOTAL_IMAGES)
    state = _put(claim, "snapshot", step, b"state", "bin")
    finishing.commit_checkpoint(
        claim.job,
        claim.fence,
        StoredCheckpoint(step, {"state": {"key": state.key}}, state.sha256, state.size, False, 12.5),
        actor=claim.actor,
    )


def finish_import(claim: Claim) -> Job:
    data, manifest = b"packed images", json.dumps({"format": 1}).encode()
    files = [
        _put(claim, "data", 0, data, "safetensors"),
        _put(claim, "manifest", 0, manifest, "json"),
        _put(claim, "grid", 0, digit_sheet(10, 10), "png"),
    ]
    result = {
        "sample_count": 1797,
        "width": 8,
        "height": 8,
        "channels": 1,
        "classes": CLASSES,
        "class_counts": [178, 182, 177, 183, 181, 182, 181, 179, 174, 180],
    }
    return _completed(claim, files, result)


def finish_training(claim: Claim) -> Job:
    report_training(claim, until=1.0)
    card = {
        "recipe": {"name": "mlp-gan", "summary": "The first GAN.", "paper": "Goodfellow et al. 2014"},
        "limits": [LIMIT],
        "figures": {
            "measured": True,
            "n": 183,
            "values": {
                "frechet_distance": {"value": 14.69, "floor": 2.197, "better": "lower"},
                "coverage": {"value": 0.5738, "floor": 0.9727, "better": "higher"},
                "latent_detour": {"value": 1.25, "floor": None, "better": "one"},
            },
        },
        "licence": {"data": "CC-BY-4.0", "weights": None},
    }
    files = [
        _put(claim, "snapshot", 1, b"weights", "safetensors"),
        _put(claim, "snapshot", 0, b"{}", "json"),
        _put(claim, "card", 0, json.dumps(card).encode(), "json"),
        _put(claim, "card_text", 0, b"# my-digits", "md"),
        _put(claim, "card_picture", 0, digit_sheet(4, 16), "png"),
        _put(claim, "grid", 0, digit_sheet(8, 8), "png", {"images_seen": TOTAL_IMAGES}),
    ]
    result = {
        "images_seen": TOTAL_IMAGES,
        "metrics": {"loss_generator": 1.61, "loss_discriminator": 0.88},
        "classes": CLASSES,
        "image": {"width": 8, "height": 8, "channels": 1},
        "card": card,
    }
    return _completed(claim, files, result)


def finish_generation(claim: Claim) -> Job:
    files = [_put(claim, "image", index, digit_sheet(1, 1, first=index), "png") for index in range(24)]
    result = {"count": 24}
    return _completed(claim, files, result)


def _completed(claim: Claim, files: Sequence[StoredFile], result: Mapping[str, Any]) -> Job:
    done = Completion(claim.job, claim.fence, files=files, result=result)
    [job] = finishing.complete_jobs([done], actor=claim.actor)
    return job


def rejected_dataset(owner: User, worker: Worker) -> Dataset:
    """Upload an archive whose import finds two bad files."""
    archive = b"not really an archive"
    dataset = create_upload_dataset(owner=owner, new=NewDataset(name="holiday-photos"))
    sha256 = get_object_store().put_bytes(dataset.upload_key, archive, media_type="application/zip")
    dataset, _ = complete_upload(dataset_id=dataset.pk, sha256=sha256, size=len(archive))
    claim = start(worker, _job(dataset))
    error = {
        "code": "dataset.invalid",
        "message": "2 files of the archive cannot be used.",
        "errors": [
            {"pointer": "beach/1.png", "code": "image.truncated", "message": "The file ends too early."},
            {"pointer": "beach/<2>.tif", "code": "image.format", "message": "TIFF is not read; use PNG."},
        ],
    }
    leases.fail_job(claim.job, claim.fence, actor=claim.actor, reason=StatusReason.INVALID_INPUT, error=error)
    dataset.refresh_from_db()
    return dataset


def digit_sheet(rows: int, columns: int, *, first: int = 0) -> bytes:
    """Return a PNG with scikit-learn's digits side by side."""
    digits = _digits()[first : first + rows * columns]
    sheet = digits.reshape(rows, columns, 8, 8).swapaxes(1, 2).reshape(rows * 8, columns * 8)
    png = io.BytesIO()
    Image.fromarray((sheet * (255 / 16)).astype(np.uint8)).save(png, "PNG")
    return png.getvalue()


@cache
def _digits() -> NDArray[np.float64]:
    # Here, for every process that collects tests would load it.
    from sklearn.datasets import load_digits

    images: NDArray[np.float64] = load_digits().images
    return images


def _fail_training(claim: Claim) -> Job:
    report_training(claim, until=0.3)
    error = {
        "code": "training.non_finite_loss",
        "message": "Training broke down before image 12,000: loss_generator became NaN or infinite.",
        "errors": [],
    }
    return leases.fail_job(
        claim.job, claim.fence, actor=claim.actor, reason=StatusReason.NON_FINITE_LOSS, error=error
    )


def _job(dataset: Dataset) -> Job:
    job = dataset.import_job
    assert job is not None
    return job


def _preview(claim: Claim, images_seen: int) -> None:
    picture = digit_sheet(8, 8, first=images_seen // 800)
    file = _put(claim, "preview", images_seen, picture, "png", {"images_seen": images_seen})
    finishing.publish_preview(claim.job, claim.fence, file, actor=claim.actor)


def _put(
    claim: Claim, role: str, index: int, data: bytes, suffix: str, metadata: Mapping[str, Any] | None = None
) -> StoredFile:
    sha256 = hashlib.sha256(data).hexdigest()
    key = keys.artifact_key(claim.job.pk, claim.fence, role, index, sha256, suffix)
    media_type = {"png": "image/png", "json": "application/json"}.get(suffix, "application/octet-stream")
    filename = f"{role}-{index}.{suffix}"
    get_object_store().put_bytes(key, data, media_type=media_type, filename=filename)
    return StoredFile(role, index, key, sha256, len(data), media_type, filename, dict(metadata or {}))
