"""The job engine's tables. Fields, constraints and indexes only: rules live in the services beside this file.

All times are written by the database's clock (`Now()`); workers' clocks decide nothing.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from aigc_platform.common.uuid7 import uuid7
from aigc_platform.jobs.states import LEASED, TERMINAL, DesiredState, JobStatus, StatusReason

_LEASED = sorted(LEASED)
_TERMINAL = sorted(TERMINAL)


class WorkerState(models.TextChoices):
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"
    GONE = "gone"


class Worker(models.Model):
    """One worker process and the devices it drives. The row of a stopped worker stays for the record."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    host = models.CharField(max_length=200)
    boot_id = models.CharField(max_length=64)
    """Boot of the host and process namespace: `pid` means something to others with the same."""
    pid = models.IntegerField()
    pid_started = models.BigIntegerField(default=0)
    """Clock ticks after boot at which the process started: a pid is used again, this pair is not."""
    devices = models.JSONField(default=list)
    queues = ArrayField(models.CharField(max_length=50))
    state = models.CharField(max_length=20, choices=WorkerState.choices, default=WorkerState.STARTING)
    started_at = models.DateTimeField(db_default=Now())
    last_beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["-last_beat_at"], name="worker_last_beat")]

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    """One thing a user asked for. Its status changes through `jobs.transitions` alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # `job_owner_newest` serves lookups by owner.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs", db_index=False
    )
    kind = models.CharField(max_length=40)
    queue = models.CharField(max_length=50)
    spec = models.JSONField()
    spec_sha256 = models.CharField(max_length=64)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 — NULL: no key
    request_sha256 = models.CharField(max_length=64, blank=True)
    group_key = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=20, choices=JobStatus.choices, default=JobStatus.QUEUED)
    status_reason = models.CharField(max_length=30, choices=StatusReason.choices, blank=True)
    desired = models.CharField(max_length=10, choices=DesiredState.choices, default=DesiredState.RUN)
    priority = models.SmallIntegerField(default=0)
    labels = models.JSONField(default=dict, blank=True)
    run_at = models.DateTimeField(db_default=Now())
    start_deadline_at = models.DateTimeField(null=True, blank=True)
    run_timeout_seconds = models.PositiveIntegerField(null=True, blank=True)
    fence = models.BigIntegerField(default=0)
    lease_worker = models.ForeignKey(
        Worker, on_delete=models.PROTECT, null=True, blank=True, related_name="leased_jobs"
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    recoveries = models.PositiveIntegerField(default=0)
    max_recoveries = models.PositiveIntegerField(default=5)
    event_seq = models.PositiveIntegerField(default=0)
    progress = models.JSONField(default=dict, blank=True)
    output = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    retried_from = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="retries"
    )
    created_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    deletion_requested_at = models.DateTimeField(null=True, blank=True)
    """Its files are no longer shown; the engine deletes their bytes."""
    deletion_requested_by = models.CharField(max_length=100, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    """The bytes are gone and were looked for in vain; the rows stay as a tombstone."""
    collected_at = models.DateTimeField(null=True, blank=True)
    """What attempts left in the store without a row has been removed."""

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="job_lease_set_exactly_while_leased",
                condition=Q(status__in=_LEASED, lease_worker__isnull=False, lease_expires_at__isnull=False)
                | (~Q(status__in=_LEASED) & Q(lease_worker__isnull=True, lease_expires_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="job_finished_at_set_exactly_in_terminal_states",
                condition=Q(status__in=_TERMINAL, finished_at__isnull=False)
                | (~Q(status__in=_TERMINAL) & Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(name="job_status_is_known", condition=Q(status__in=JobStatus.values)),
            models.UniqueConstraint(
                name="job_idempotency_key_unique_per_owner",
                fields=["owner", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"], name="job_owner_newest"),
            models.Index(fields=["-created_at", "-id"], name="job_newest"),
            models.Index(
                F("queue"),
                F("owner"),
                F("priority").desc(),
                F("run_at"),
                F("id"),
                name="job_claim",
                condition=Q(status=JobStatus.QUEUED),
            ),
            models.Index(
                fields=["group_key", "queue"], name="job_group", condition=Q(status=JobStatus.QUEUED)
            ),
            models.Index(
                F("queue"),
                F("priority").desc(),
                F("run_at"),
                name="job_order",
                condition=Q(status=JobStatus.QUEUED),
            ),
            models.Index(
                fields=["start_deadline_at"],
                name="job_start_deadline",
                condition=Q(
                    status__in=[JobStatus.QUEUED, JobStatus.PAUSED],
                    start_deadline_at__isnull=False,
                    attempt_count=0,
                ),
            ),
            models.Index(
                fields=["lease_expires_at"], name="job_lease", condition=Q(lease_expires_at__isnull=False)
            ),
            models.Index(
                fields=["finished_at"],
                name="job_uncollected",
                condition=Q(finished_at__isnull=False, collected_at__isnull=True),
            ),
            models.Index(
                fields=["deletion_requested_at"],
                name="job_to_delete",
                condition=Q(deletion_requested_at__isnull=False, deleted_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


class OwnerShare(models.Model):
    """When an owner was last given a worker; the claim serves the longest-waiting owner first."""

    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    served_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.owner_id} served {self.served_at}"


class QueueDepth(models.Model):
    """How many jobs waited in a queue when the engine last counted: submissions must not count for themselves."""

    queue = models.CharField(max_length=50, primary_key=True)
    queued = models.PositiveIntegerField()
    counted_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.queued} in {self.queue}"


class AttemptOutcome(models.TextChoices):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    PAUSED = "paused"
    REQUEUED = "requeued"
    LEASE_LOST = "lease_lost"


class Attempt(models.Model):
    """One run of a job by one worker, under one fence."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    fence = models.BigIntegerField()
    worker = models.ForeignKey(Worker, on_delete=models.PROTECT, related_name="attempts")
    device = models.CharField(max_length=1000, blank=True)
    """Ids of the devices it computes on, by commas."""
    runner_pid = models.IntegerField(null=True, blank=True)
    started_at = models.DateTimeField(db_default=Now())
    last_beat_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=AttemptOutcome.choices, blank=True)
    reason = models.CharField(max_length=30, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    resumed_from = models.ForeignKey(
        "Checkpoint", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(name="attempt_fence_unique_per_job", fields=["job", "fence"]),
            models.UniqueConstraint(name="attempt_number_unique_per_job", fields=["job", "number"]),
            models.CheckConstraint(
                name="attempt_outcome_set_exactly_when_ended",
                condition=Q(ended_at__isnull=True, outcome="") | (Q(ended_at__isnull=False) & ~Q(outcome="")),
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"


class Checkpoint(models.Model):
    """A committed training state: this row is the commit, the objects named in `files` are the bytes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="checkpoints")
    fence = models.BigIntegerField()
    step = models.BigIntegerField()
    files = models.JSONField()
    manifest_sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    is_best = models.BooleanField(default=False)
    is_corrupt = models.BooleanField(default=False)
    stall_ms = models.FloatField(default=0)
    committed_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True, blank=True)
    """Newer ones took its place and its objects are gone; the row stays for the record."""

    class Meta:
        constraints = [
            models.UniqueConstraint(name="checkpoint_step_unique", fields=["job", "fence", "step"])
        ]

    def __str__(self) -> str:
        return f"checkpoint of {self.job_id} at {self.step}"

    def object_keys(self) -> list[str]:
        """Return the keys of its objects."""
        return [facts["key"] for facts in self.files.values()]


class Artifact(models.Model):
    """A stored output, visible to its owner. Rows appear in the transaction that ends the job (or as previews)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="artifacts")
    role = models.CharField(max_length=30)
    index = models.BigIntegerField()
    fence = models.BigIntegerField()
    is_preview = models.BooleanField(default=False)
    key = models.CharField(max_length=500, unique=True)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    media_type = models.CharField(max_length=100)
    filename = models.CharField(max_length=200)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="artifact_role_index_unique_per_job", fields=["job", "role", "index"]
            )
        ]
        indexes = [models.Index(fields=["sha256"], name="artifact_sha256")]

    def __str__(self) -> str:
        return self.filename


class JobEvent(models.Model):
    """One line of a job's history. Append-only: a trigger refuses UPDATE and DELETE."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="events")
    seq = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=100)
    type = models.CharField(max_length=100)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(name="job_event_seq_unique_per_job", fields=["job", "seq"])]
        ordering = ["seq"]

    def __str__(self) -> str:
        return f"{self.job_id} #{self.seq} {self.type}"


class Outbox(models.Model):
    """A message to send after the transaction that wrote it: the relay publishes, at least once."""

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(max_length=50)
    payload = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    available_at = models.DateTimeField(db_default=Now())
    tries = models.PositiveIntegerField(default=0)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["available_at", "id"], name="outbox_pending", condition=Q(published_at__isnull=True)
            ),
            models.Index(fields=["created_at"], name="outbox_created"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.id}"
