"""The whole way on real processes: import, train, publish, evaluate, generate, download, check."""

import hashlib
import io
import json
import zipfile

import httpx
import pytest

from aigc_platform.accounts.models import User
from aigc_platform.jobs.models import Artifact, Job, JobEvent
from aigc_platform.jobs.states import JobStatus
from aigc_platform.registry.selectors import resolve_version
from aigc_platform.storage.object_store import get_object_store
from ml.codecs.png import read_provenance
from tests.factories.studio import evaluate, generate, import_digits, train_tiny
from tests.processes import PlatformProcesses, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def ended(job: Job, seconds: float = 90) -> Job:
    def is_over() -> bool:
        job.refresh_from_db()
        return job.is_terminal

    wait_for(is_over, seconds=seconds, what=f"end of {job}")
    return job


def download(artifact: Artifact) -> bytes:
    """Fetch an artifact as a client does, by plain HTTP, and check its hash."""
    url = get_object_store().presign_get(
        artifact.key, filename=artifact.filename, media_type=artifact.media_type
    )
    content = httpx.get(url).raise_for_status().content
    assert hashlib.sha256(content).hexdigest() == artifact.sha256
    assert len(content) == artifact.size
    return content


def assert_events_tell_the_whole_story_in_order(job: Job) -> None:
    events = list(JobEvent.objects.filter(job=job).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    statuses = [event.data["to"] for event in events if "to" in event.data]
    assert statuses[0] == "starting"
    assert statuses[-1] == "succeeded"
    assert events[-1].type == f"{job.kind}.succeeded"


def test_data_set_to_labelled_files(processes: PlatformProcesses, owner: User) -> None:
    processes.start_engine()
    processes.start_worker()
    dataset = import_digits(owner)
    assert dataset.import_job is not None
    assert ended(dataset.import_job).status == JobStatus.SUCCEEDED, dataset.import_job.error
    assert_events_tell_the_whole_story_in_order(dataset.import_job)
    dataset.refresh_from_db()
    version = dataset.versions.get()
    assert (dataset.status, version.sample_count, version.width) == ("ready", 1797, 32)
    assert len(version.classes) == 10

    training = ended(train_tiny(owner, dataset, model="digits", kimg=2))
    assert training.status == JobStatus.SUCCEEDED, training.error
    assert training.output is not None
    published = resolve_version(owner, "digits")
    assert str(published) == "digits:1" == training.output["model"]
    assert published.dataset_manifest_sha256 == version.manifest_sha256
    card = json.loads(download(Artifact.objects.get(job=training, role="card")))
    assert card["recipe"]["name"] == "mlp-gan"

    evaluation = ended(evaluate(owner, "digits:1", n=100))
    assert evaluation.status == JobStatus.SUCCEEDED, evaluation.error
    assert evaluation.output is not None
    distance = evaluation.output["figures"]["frechet_distance"]
    assert distance["value"] > distance["floor"] > 0
    report = json.loads(download(Artifact.objects.get(job=evaluation, role="report")))
    assert report["subject"]["sha256"] == published.weights.sha256
    assert report["provenance"]["dataset_manifest_sha256"] == version.manifest_sha256

    files = ended(generate(owner, "digits:1", count=20, seed=7))
    archive = ended(generate(owner, "digits", count=20, seed=7, delivery="archive"))
    assert (files.status, archive.status) == (JobStatus.SUCCEEDED, JobStatus.SUCCEEDED)
    images = [download(artifact) for artifact in files.artifacts.filter(role="image").order_by("index")]
    assert len(images) == 20
    label = read_provenance(images[3])
    assert label is not None
    assert (label.model_version, label.seed, label.index) == ("digits:1", 7, 3)
    assert "trainedAlgorithmicMedia" in label.digital_source_type
    assert files.artifacts.filter(role="grid").count() == 1
    packed = zipfile.ZipFile(io.BytesIO(download(archive.artifacts.get(role="archive"))))
    assert sum(name.endswith(".png") for name in packed.namelist()) == 20
