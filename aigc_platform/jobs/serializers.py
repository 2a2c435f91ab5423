"""Jobs, events and artifacts as the API shows them: one envelope for all kinds."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from aigc_platform.api.serializers import ErrorSerializer, PageSerializer
from aigc_platform.jobs.downloads import LINK_SECONDS, download_url
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Artifact, Job, JobEvent, Worker
from aigc_platform.jobs.selectors import queue_place
from aigc_platform.jobs.states import JobStatus

_SUB_RESOURCES = ("events", "metrics", "artifacts")
_ACTIONS = ("cancel", "pause", "resume", "retry")
_MOST_EVENTS = 1000


class ProgressSerializer(serializers.Serializer[Any]):
    current = serializers.FloatField()
    total = serializers.FloatField(allow_null=True)
    unit = serializers.CharField(allow_null=True)
    rate = serializers.FloatField(allow_null=True, help_text="Units a second.")
    eta_at = serializers.DateTimeField(allow_null=True)
    metrics = serializers.DictField(
        child=serializers.FloatField(), help_text="Newest figures of the work, such as losses; may be empty."
    )


class QueueSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField(allow_null=True, help_text="1 is next; null unless queued.")
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Why the job waits.")


class JobMetricsSerializer(serializers.Serializer[Any]):
    queue_seconds = serializers.FloatField(help_text="From submission to the first start.")
    run_seconds = serializers.FloatField(help_text="Sum over all attempts.")


class JobUrlsSerializer(serializers.Serializer[Any]):
    self = serializers.URLField()
    events = serializers.URLField()
    metrics = serializers.URLField()
    artifacts = serializers.URLField()
    cancel = serializers.URLField()
    pause = serializers.URLField()
    resume = serializers.URLField()
    retry = serializers.URLField()


class DeletionSerializer(serializers.Serializer[Any]):
    requested_at = serializers.DateTimeField(source="deletion_requested_at", help_text="Hidden since then.")
    requested_by = serializers.CharField(source="deletion_requested_by")
    completed_at = serializers.DateTimeField(
        source="deleted_at", allow_null=True, help_text="The store held none of its bytes any more."
    )


class JobSerializer(serializers.ModelSerializer[Job]):
    """The fixed envelope. `spec`, `output` and the keys of labels depend on the kind; nothing else does."""

    status_reason = serializers.CharField(
        read_only=True, help_text="Stable code; empty if there is no reason."
    )
    spec = serializers.DictField(read_only=True)
    output = serializers.DictField(read_only=True, allow_null=True)
    error = ErrorSerializer(read_only=True, allow_null=True)
    progress = serializers.SerializerMethodField()
    queue = serializers.SerializerMethodField()
    attempt = serializers.IntegerField(source="attempt_count", read_only=True)
    labels = serializers.DictField(child=serializers.CharField(), read_only=True)
    metrics = serializers.SerializerMethodField()
    expires_at = serializers.DateTimeField(source="start_deadline_at", read_only=True, allow_null=True)
    retried_from = serializers.UUIDField(source="retried_from_id", read_only=True, allow_null=True)
    deletion = serializers.SerializerMethodField()
    urls = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id",
            "kind",
            "status",
            "status_reason",
            "spec",
            "output",
            "error",
            "progress",
            "queue",
            "priority",
            "attempt",
            "labels",
            "metrics",
            "retried_from",
            "created_at",
            "queued_at",
            "started_at",
            "finished_at",
            "expires_at",
            "deletion",
            "urls",
        ]
        read_only_fields = fields

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, job: Job) -> dict[str, Any]:
        reported: dict[str, Any] = job.progress or {}
        return {
            "current": reported.get("current", 0),
            "total": reported.get("total"),
            "unit": reported.get("unit"),
            "rate": reported.get("rate"),
            "eta_at": _eta_at(job, reported.get("eta_seconds")),
            "metrics": reported.get("metrics") or {},
        }

    @extend_schema_field(QueueSerializer)
    def get_queue(self, job: Job) -> dict[str, Any]:
        # A list does not count: that would cost queries for each row.
        if isinstance(self.parent, serializers.ListSerializer):
            return {"position": None, "reasons": []}
        place = queue_place(job)
        return {"position": place.position, "reasons": place.reasons}

    @extend_schema_field(JobMetricsSerializer)
    def get_metrics(self, job: Job) -> dict[str, float]:
        started_at = job.started_at or job.finished_at or timezone.now()
        run_time: timedelta | None = getattr(job, "run_time", None)
        return {
            "queue_seconds": round((started_at - job.created_at).total_seconds(), 3),
            "run_seconds": round(run_time.total_seconds(), 3) if run_time else 0.0,
        }

    @extend_schema_field(DeletionSerializer(allow_null=True))
    def get_deletion(self, job: Job) -> dict[str, Any] | None:
        if job.deletion_requested_at is None:
            return None
        return dict(DeletionSerializer(job).data)

    @extend_schema_field(JobUrlsSerializer)
    def get_urls(self, job: Job) -> dict[str, str]:
        request = self.context["request"]
        path = f"/api/v1/{get_kind(job.kind).resource}/{job.pk}"
        urls = {"self": request.build_absolute_uri(path)}
        for name in (*_SUB_RESOURCES, *_ACTIONS):
            urls[name] = request.build_absolute_uri(f"{path}/{name}")
        if settings.EVENTS_URL != settings.PUBLIC_URL:
            urls["events"] = f"{settings.EVENTS_URL}{path}/events"
        return urls


class EventSerializer(serializers.ModelSerializer[JobEvent]):
    """One line of a job's history."""

    data = serializers.DictField(read_only=True)  # type: ignore[assignment]  # a member of the answer, not the property

    class Meta:
        model = JobEvent
        fields = ["seq", "at", "type", "actor", "data"]
        read_only_fields = fields


class MetricPointSerializer(serializers.Serializer[JobEvent]):
    """What a running job reported at one moment."""

    seq = serializers.IntegerField()
    at = serializers.DateTimeField()
    current = serializers.FloatField(source="data.current")
    rate = serializers.FloatField(source="data.rate", default=None, allow_null=True)
    metrics = serializers.DictField(source="data.metrics", child=serializers.FloatField(), default=dict)


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    """A stored output with a link that downloads it straight from the store."""

    metadata = serializers.DictField(read_only=True)
    url = serializers.SerializerMethodField()
    expires_at = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = [
            "id",
            "role",
            "index",
            "media_type",
            "size",
            "sha256",
            "filename",
            "metadata",
            "created_at",
            "url",
            "expires_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField)
    def get_url(self, artifact: Artifact) -> str:
        return download_url(artifact)

    @extend_schema_field(serializers.DateTimeField)
    def get_expires_at(self, _artifact: Artifact) -> datetime:
        return timezone.now() + timedelta(seconds=LINK_SECONDS)


class EventQuerySerializer(serializers.Serializer[Any]):
    """Where to go on in a job's history."""

    after = serializers.IntegerField(
        default=0, min_value=0, max_value=2**31 - 1, help_text="Only what came after this `seq`."
    )
    limit = serializers.IntegerField(default=100, min_value=1, max_value=_MOST_EVENTS)


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """A worker process that beats, and what it serves."""

    queues = serializers.ListField(child=serializers.CharField(), read_only=True)
    devices = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = Worker
        fields = ["id", "name", "state", "queues", "devices", "started_at", "last_beat_at"]
        read_only_fields = fields


class QueueStateSerializer(serializers.Serializer[Any]):
    """How busy a queue is, over all users."""

    name = serializers.CharField()
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    workers = serializers.IntegerField(help_text="Live workers that serve it.")
    oldest_queued_at = serializers.DateTimeField(allow_null=True)


@extend_schema_serializer(many=False)
class EventPageSerializer(PageSerializer):
    """One page of a job's history."""

    results = EventSerializer(many=True)


@extend_schema_serializer(many=False)
class MetricPageSerializer(PageSerializer):
    """One page of a job's figures."""

    results = MetricPointSerializer(many=True)


@extend_schema_serializer(many=False)
class WorkerPageSerializer(PageSerializer):
    """All live workers."""

    results = WorkerSerializer(many=True)


@extend_schema_serializer(many=False)
class QueuePageSerializer(PageSerializer):
    """All queues."""

    results = QueueStateSerializer(many=True)


def _eta_at(job: Job, eta_seconds: float | None) -> datetime | None:
    if eta_seconds is None or job.status != JobStatus.RUNNING:
        return None
    return timezone.now() + timedelta(seconds=eta_seconds)
