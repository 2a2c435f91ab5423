"""From a claim to what its runner starts with: inputs on disk, the checkpoint to go on from, provenance."""

from pathlib import Path

import structlog

from aigc_platform.jobs.claim import Claim
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Attempt, Checkpoint
from aigc_platform.jobs.recovery import has_run_out_of_memory
from aigc_platform.jobs.selectors import good_checkpoints
from aigc_platform.jobs.transitions import append_event
from aigc_platform.storage.exceptions import ObjectCorruptError, ObjectNotFoundError
from workers.runner.protocol import JobItem
from workers.workspace import InputCache, Workspace, checkpoint_input

log = structlog.get_logger(__name__)


def prepare(claim: Claim, workspace: Workspace, cache: InputCache) -> JobItem:
    """Make the attempt's folder, fetch its inputs and describe the job to the runner.

    Raises:
        PlatformError: an input is missing, corrupt or unreachable, or the job's kind refuses.
    """
    workspace.create()
    kind = get_kind(claim.job.kind)
    is_first = claim.attempt.number == 1
    smaller = None if is_first or not has_run_out_of_memory(claim.job) else kind.less_memory(claim.job.spec)
    if smaller is not None:
        # For this attempt's eyes only: the row keeps what its owner asked for.
        claim.job.spec = smaller
    wanted = kind.prepare(claim.job)
    inputs = {item.name: str(cache.fetch(item)) for item in wanted.inputs}
    resume = _resume_folder(claim, cache) if kind.resumable and smaller is None else None
    return JobItem(
        job_id=str(claim.job.pk),
        attempt=claim.attempt.number,
        workspace=str(workspace.path),
        spec=wanted.spec,
        inputs=inputs,
        resume=None if resume is None else str(resume),
        provenance=dict(wanted.provenance),
    )


def _resume_folder(claim: Claim, cache: InputCache) -> Path | None:
    """Fetch the newest checkpoint whose bytes are all there and right; older ones serve where newer ones fail."""
    for checkpoint in good_checkpoints(claim.job):
        try:
            folder = cache.fetch(checkpoint_input(checkpoint.files))
        except (ObjectNotFoundError, ObjectCorruptError) as error:
            _give_up(claim, checkpoint, error)
            continue
        Attempt.objects.filter(pk=claim.attempt.pk).update(resumed_from=checkpoint)
        append_event(
            claim.job.pk,
            f"{claim.job.kind}.resumed",
            actor=claim.actor,
            data={"step": checkpoint.step, "checkpoint": str(checkpoint.pk)},
            fence=claim.fence,
        )
        return folder
    return None


def _give_up(claim: Claim, checkpoint: Checkpoint, error: Exception) -> None:
    log.error("checkpoint_corrupt", job=str(claim.job.pk), step=checkpoint.step, error=str(error))
    Checkpoint.objects.filter(pk=checkpoint.pk).update(is_corrupt=True)
    append_event(
        claim.job.pk,
        f"{claim.job.kind}.checkpoint.corrupt",
        actor=claim.actor,
        data={"step": checkpoint.step, "checkpoint": str(checkpoint.pk), "message": str(error)},
        fence=claim.fence,
    )
