"""Taking bytes out of the store: old checkpoints, what deleted jobs left, what no row has ever named.

Rows decide, objects follow. A row first says that its objects are not to be counted on, then they go: a crash in
between leaves garbage, which a later sweep finds, and never a row that points to nothing.
"""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import Now, RowNumber
from django.utils import timezone

from aigc_platform.jobs.models import Artifact, Checkpoint, Job
from aigc_platform.storage import keys
from aigc_platform.storage.exceptions import StorageError
from aigc_platform.storage.interface import ObjectStore

log = structlog.get_logger(__name__)

_KEEP_CHECKPOINTS = 2
_BATCH = 50


def prune_checkpoints(store: ObjectStore) -> int:
    """Delete the checkpoints of a job but the last two and the best; return how many went."""
    pruned = 0
    # To the last one: many trainings make more between two sweeps than fit into one batch.
    while superseded := list(superseded_checkpoints()[:_BATCH]):
        for checkpoint in superseded:
            Checkpoint.objects.filter(pk=checkpoint.pk).update(deleted_at=Now())
            for key in checkpoint.object_keys():
                store.delete(key)
        pruned += len(superseded)
    return pruned


def superseded_checkpoints() -> QuerySet[Checkpoint]:
    """Return whole checkpoints that newer ones replace and that are not the newest of the best."""
    newest_first = [F("fence").desc(), F("step").desc()]
    whole = Checkpoint.objects.filter(is_corrupt=False, deleted_at__isnull=True)
    ranked = whole.annotate(
        age=Window(RowNumber(), partition_by="job", order_by=newest_first),
        age_of_kind=Window(RowNumber(), partition_by=["job", "is_best"], order_by=newest_first),
    )
    return ranked.filter(age__gt=_KEEP_CHECKPOINTS).exclude(Q(is_best=True) & Q(age_of_kind=1))


def delete_requested(store: ObjectStore) -> int:
    """Delete the bytes of jobs whose deletion was asked for, look for leftovers, and note that there are none.

    Returns:
        How many jobs are done; one whose bytes the store keeps stays for the next sweep.
    """
    asked = Job.objects.filter(deletion_requested_at__isnull=False, deleted_at__isnull=True)
    # To the last one: the oldest may be those whose bytes stay, and must not keep the others waiting.
    return sum(_deleted(job, store) for job in asked.order_by("deletion_requested_at").iterator(_BATCH))


def _deleted(job: Job, store: ObjectStore) -> bool:
    Checkpoint.objects.filter(job=job, deleted_at__isnull=True).update(deleted_at=Now())
    prefixes = (keys.job_prefix(job.pk), keys.checkpoint_prefix(job.pk))
    for prefix in prefixes:
        store.delete_prefix(prefix)
    left = sum(1 for prefix in prefixes for _ in store.list_keys(prefix))
    if left:
        log.error("deletion_incomplete", job=str(job.pk), objects=left)
        return False
    Job.objects.filter(pk=job.pk).update(deleted_at=Now(), collected_at=Now())
    return True


def collect_garbage(store: ObjectStore) -> int:
    """Delete what attempts of long-ended jobs uploaded and no row names; return how many objects went."""
    age = timedelta(seconds=settings.GARBAGE_SECONDS)
    ended = Job.objects.filter(
        finished_at__lt=Now() - age, collected_at__isnull=True, deletion_requested_at__isnull=True
    )
    collected = 0
    for job in ended.order_by("finished_at")[:_BATCH]:
        collected += _delete_unnamed(job, store, age)
        Job.objects.filter(pk=job.pk).update(collected_at=Now())
    return collected


def _delete_unnamed(job: Job, store: ObjectStore, age: timedelta) -> int:
    named = named_keys(job)
    oldest = timezone.now() - age
    deleted = 0
    for prefix in (keys.job_prefix(job.pk), keys.checkpoint_prefix(job.pk)):
        for info in list(store.list_keys(prefix)):
            if info.key not in named and info.modified_at < oldest:
                store.delete(info.key)
                deleted += 1
    return deleted


def named_keys(job: Job) -> set[str]:
    """Return every key that a row of this job counts on."""
    named = set(Artifact.objects.filter(job=job).values_list("key", flat=True))
    for checkpoint in Checkpoint.objects.filter(job=job, deleted_at__isnull=True):
        named.update(checkpoint.object_keys())
    return named


def sweep(store: ObjectStore) -> None:
    """Do all of it once; a store that is away or contrary is left for the next time."""
    try:
        prune_checkpoints(store)
        delete_requested(store)
        collect_garbage(store)
        store.abort_stale_uploads(timedelta(seconds=settings.GARBAGE_SECONDS))
    except StorageError as error:
        log.warning("sweep_postponed", code=error.code, error=error.message)
