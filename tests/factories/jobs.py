"""Jobs in every status, made by the services that move real ones. The kinds below exist in tests alone."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar

from django.db.models import F
from django.db.models.functions import Now
from pydantic import BaseModel

from aigc_platform.accounts.models import User
from aigc_platform.jobs import finishing, leases, services
from aigc_platform.jobs.claim import Claim, claim_jobs
from aigc_platform.jobs.finishing import Completion, StoredCheckpoint, StoredFile
from aigc_platform.jobs.fleet import register_worker
from aigc_platform.jobs.kinds import JobKind, JsonObject, RunnerJob, register
from aigc_platform.jobs.models import Artifact, Job, Worker
from aigc_platform.jobs.services import Submission
from aigc_platform.jobs.states import JobStatus, StatusReason
from aigc_platform.jobs.transitions import transition
from aigc_platform.storage import keys
from tests.factories.accounts import make_user

_numbers = count(1)


class ToySpec(BaseModel):
    steps: int = 1


class ToyKind(JobKind):
    """Keeps checkpoints and works in groups of up to four. Notes the ends it is told of in `ended_jobs`."""

    name = "toy"
    queue = "cpu.io"
    spec_type = ToySpec
    resumable = True
    max_group = 4
    ended_jobs: ClassVar[list[tuple[str, str]]] = []

    def prepare(self, job: Job) -> RunnerJob:
        return RunnerJob(spec=job.spec)

    def complete(self, job: Job, artifacts: Sequence[Artifact], result: JsonObject) -> JsonObject:
        if result.get("refuse"):
            raise RuntimeError("the kind refuses this result")
        return {"steps": job.spec["steps"], "files": sorted(artifact.filename for artifact in artifacts)}

    def less_memory(self, spec: JsonObject) -> JsonObject | None:
        return spec | {"steps": 1} if self.resumable else None

    def ended(self, job: Job) -> None:
        if job.labels.get("explode") == "at the end":
            raise RuntimeError("the kind cannot cope with this end")
        self.ended_jobs.append((str(job.pk), job.status))


class RigidKind(ToyKind):
    """Like `toy` on another queue, but alone and without checkpoints."""

    name = "toy.rigid"
    queue = "gpu.train"
    resumable = False
    max_group = 1


TOY = ToyKind()
RIGID = RigidKind()
register(TOY)
register(RIGID)


def make_worker(*queues: str, name: str | None = None) -> Worker:
    """Register a worker that serves these queues, by default those of both kinds."""
    number = next(_numbers)
    return register_worker(
        name=name or f"worker{number}",
        host="test-host",
        boot_id="test-boot",
        pid=100_000 + number,
        devices=[{"id": "cpu", "kind": "cpu"}],
        queues=list(queues or (TOY.queue, RIGID.queue)),
    )


def submit(owner: User | None = None, *, kind: str = TOY.name, steps: int = 1, **fields: Any) -> Job:
    """Submit a job; `fields` are those of `Submission`."""
    return services.submit_job(
        owner=owner or make_user(), kind=kind, spec=ToySpec(steps=steps), submission=Submission(**fields)
    )


def claim_one(worker: Worker | None = None) -> Claim:
    """Claim exactly one job."""
    [claim] = claim_jobs(worker or make_worker())
    return claim


def claim_new(kind: str = TOY.name, **fields: Any) -> Claim:
    """Submit a job and claim it with a worker of its own; the queue must be empty otherwise."""
    job = submit(kind=kind, **fields)
    claim = claim_one(make_worker(job.queue))
    assert claim.job.pk == job.pk
    return claim


def report_running(claim: Claim) -> None:
    leases.report_running([(claim.job, claim.fence)], actor=claim.actor, device="cpu", runner_pid=4242)


def report_finalizing(claim: Claim) -> None:
    finishing.report_finalizing([(claim.job, claim.fence)], actor=claim.actor)


def complete(claim: Claim, *files: StoredFile, result: JsonObject | None = None) -> Job:
    done = Completion(claim.job, claim.fence, files=files, result=result or {})
    [job] = finishing.complete_jobs([done], actor=claim.actor)
    return job


def stored_file(claim: Claim, index: int = 0, *, role: str = "image") -> StoredFile:
    """Describe an upload of this attempt."""
    sha256 = hashlib.sha256(f"{claim.fence}/{role}/{index}".encode()).hexdigest()
    return StoredFile(
        role=role,
        index=index,
        key=keys.artifact_key(claim.job.pk, claim.fence, role, index, sha256, "png"),
        sha256=sha256,
        size=100 + index,
        media_type="image/png",
        filename=f"{role}-{index}.png",
    )


def stored_checkpoint(claim: Claim, step: int, *, is_best: bool = False) -> StoredCheckpoint:
    """Describe an uploaded training state of this attempt."""
    sha256 = hashlib.sha256(f"{claim.fence}/{step}".encode()).hexdigest()
    key = keys.checkpoint_key(claim.job.pk, claim.fence, step, sha256, "state.safetensors")
    return StoredCheckpoint(
        step=step,
        files={"state.safetensors": {"key": key, "sha256": sha256, "size": 10}},
        manifest_sha256=sha256,
        size=10,
        is_best=is_best,
        stall_ms=1.5,
    )


def let_lease_expire(claim: Claim) -> None:
    """Let as much time pass for this one lease."""
    Job.objects.filter(pk=claim.job.pk).update(lease_expires_at=Now() - timedelta(seconds=1))


def let_backoff_pass(job: Job) -> None:
    Job.objects.filter(pk=job.pk, run_at__gt=Now()).update(run_at=F("created_at"))


def job_in(status: JobStatus, *, kind: str = TOY.name) -> Job:
    """Return a job in this status. The queue must be empty."""
    return _MAKERS[status](kind)


def _running(kind: str) -> Claim:
    claim = claim_new(kind)
    report_running(claim)
    return claim


def _finalizing(kind: str) -> Job:
    claim = _running(kind)
    report_finalizing(claim)
    return claim.job


def _pausing(kind: str) -> Claim:
    # Kinds without checkpoints cannot be paused while they run, so this one is moved by hand.
    claim = _running(kind)
    transition(claim.job.pk, JobStatus.PAUSING, actor="test", desired="pause")
    return claim


def _canceling(kind: str) -> Claim:
    claim = _running(kind)
    services.request_cancel(claim.job.pk, actor="test")
    return claim


def _failed(kind: str) -> Job:
    claim = _running(kind)
    error = {"code": "toy.broken", "message": "It broke.", "errors": []}
    return leases.fail_job(
        claim.job, claim.fence, actor=claim.actor, reason=StatusReason.CODE_ERROR, error=error
    )


_MAKERS: dict[JobStatus, Callable[[str], Job]] = {
    JobStatus.QUEUED: lambda kind: submit(kind=kind),
    JobStatus.STARTING: lambda kind: claim_new(kind).job,
    JobStatus.RUNNING: lambda kind: _running(kind).job,
    JobStatus.FINALIZING: _finalizing,
    JobStatus.PAUSING: lambda kind: _pausing(kind).job,
    JobStatus.PAUSED: lambda kind: services.request_pause(submit(kind=kind).pk, actor="test"),
    JobStatus.CANCELING: lambda kind: _canceling(kind).job,
    JobStatus.SUCCEEDED: lambda kind: complete(_running(kind)),
    JobStatus.FAILED: _failed,
    JobStatus.CANCELED: lambda kind: services.request_cancel(submit(kind=kind).pk, actor="test"),
    JobStatus.EXPIRED: lambda kind: transition(submit(kind=kind).pk, JobStatus.EXPIRED, actor="test"),
}
