"""`/api/v1/jobs` and what every kind of job offers: history, figures, outputs, cancel, pause, resume, retry."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.viewsets import ViewSet

from aigc_platform.accounts.authentication import caller
from aigc_platform.api.pagination import IndexOrderPagination, only_page
from aigc_platform.api.queries import parse_query
from aigc_platform.api.views import OwnedViewSet
from aigc_platform.jobs import services
from aigc_platform.jobs.filters import ArtifactFilter, JobFilter
from aigc_platform.jobs.models import Artifact, Job, JobEvent
from aigc_platform.jobs.selectors import (
    artifacts_of,
    events_after,
    live_workers,
    progress_after,
    queue_states,
    with_run_time,
)
from aigc_platform.jobs.serializers import (
    ArtifactSerializer,
    EventPageSerializer,
    EventQuerySerializer,
    EventSerializer,
    JobSerializer,
    MetricPageSerializer,
    MetricPointSerializer,
    QueuePageSerializer,
    QueueStateSerializer,
    WorkerPageSerializer,
    WorkerSerializer,
)
from aigc_platform.jobs.states import TERMINAL, JobStatus
from aigc_platform.jobs.submissions import idempotency_parameter, keyed_submission

_SETTLED = TERMINAL | {JobStatus.PAUSED}
_either_way = extend_schema(request=None, responses={200: JobSerializer, 202: JobSerializer})
_deletion = extend_schema(
    responses={
        202: JobSerializer,
        204: OpenApiResponse(description="Its files were deleted before."),
    }
)


class JobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, OwnedViewSet):
    """The caller's jobs of all kinds.

    Attributes:
        kind: shows jobs of this kind alone.
    """

    queryset = Job.objects.all()
    serializer_class: type[serializers.BaseSerializer[Any]] = JobSerializer
    filterset_class = JobFilter
    kind: ClassVar[str | None] = None

    def get_queryset(self) -> QuerySet[Job]:
        jobs = with_run_time(super().get_queryset())
        return jobs if self.kind is None else jobs.filter(kind=self.kind)

    @_deletion
    def destroy(self, request: Request, **_: Any) -> Response:
        """Delete an ended job's files for good: 202 while their bytes go, 204 once none is left.

        Its outputs and checkpoints are hidden at once and it leaves the lists; its row stays as a tombstone with spec,
        history and `deletion`. A job that has not ended (`job.invalid_transition`) or whose files a model version or
        a data set is made of (`job.files_in_use`) is refused with 409.
        """
        job = services.request_deletion(self.get_object().pk, actor=_actor(request))
        if job.deleted_at is not None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return self._shown(self._row(job.pk), status.HTTP_202_ACCEPTED)

    @extend_schema(parameters=[EventQuerySerializer], responses=EventPageSerializer, filters=False)
    @action(detail=True)
    def events(self, request: Request, **_: Any) -> Response:
        """The job's history, oldest first; go on with `?after=` the last `seq`."""
        return _history(request, events_after(self.get_object(), _after(request)), EventSerializer)

    @extend_schema(parameters=[EventQuerySerializer], responses=MetricPageSerializer, filters=False)
    @action(detail=True)
    def metrics(self, request: Request, **_: Any) -> Response:
        """The figures the job reported while it ran, oldest first."""
        return _history(request, progress_after(self.get_object(), _after(request)), MetricPointSerializer)

    @extend_schema(responses=ArtifactSerializer(many=True))
    @action(detail=True, pagination_class=IndexOrderPagination, filterset_class=ArtifactFilter)
    def artifacts(self, _request: Request, **_: Any) -> Response:
        """The job's outputs in order, each with a link that works for 15 minutes."""
        page = self.paginate_queryset(self.filter_queryset(artifacts_of(self.get_object())))
        return self.get_paginated_response(ArtifactSerializer(page, many=True).data)

    @_either_way
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Cancel: 202 while a worker stops it, 200 with the unchanged job if it has ended."""
        return self.answer(services.request_cancel(self.get_object().pk, actor=_actor(request)).pk)

    @_either_way
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **_: Any) -> Response:
        """Pause at the next checkpoint and free the device."""
        return self.answer(services.request_pause(self.get_object().pk, actor=_actor(request)).pk)

    @_either_way
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **_: Any) -> Response:
        """Queue a paused job again; it goes on from its last checkpoint."""
        return self.answer(services.resume_job(self.get_object().pk, actor=_actor(request)).pk)

    @extend_schema(request=None, parameters=[idempotency_parameter], responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **_: Any) -> Response:
        """Submit an ended job's spec again, as a new job linked by `retried_from`.

        Idempotent: without an `Idempotency-Key`, a retry of this job that has not ended yet is answered again; with
        one, the same key always answers the same new job, and another key makes another.
        """
        keyed = keyed_submission(request)
        job = services.retry_job(
            self.get_object().pk,
            actor_user=caller(request),
            idempotency_key=keyed.idempotency_key,
            request_sha256=keyed.request_sha256,
        )
        return self.accepted(job.pk)

    def answer(self, job_id: UUID) -> Response:
        """Show the job: 200 if nothing more will happen by itself, 202 while something does."""
        job = self._row(job_id)
        return self._shown(job, status.HTTP_200_OK if job.status in _SETTLED else status.HTTP_202_ACCEPTED)

    def accepted(self, job_id: UUID) -> Response:
        """Show a job that was just submitted, with its address as `Location`."""
        response = self._shown(self._row(job_id), status.HTTP_202_ACCEPTED)
        response.headers["Location"] = response.data["urls"]["self"]
        return response

    def _row(self, job_id: UUID) -> Job:
        job: Job = self.get_queryset().get(pk=job_id)
        return job

    def _shown(self, job: Job, code: int) -> Response:
        return Response(JobSerializer(job, context=self.get_serializer_context()).data, code)


class ArtifactViewSet(mixins.RetrieveModelMixin, OwnedViewSet):
    """One stored output, with a fresh link."""

    queryset = Artifact.objects.filter(job__deletion_requested_at__isnull=True)
    serializer_class = ArtifactSerializer
    owner_path = "job__owner"


class WorkerViewSet(ViewSet):
    """The workers that are alive."""

    @extend_schema(responses=WorkerPageSerializer)
    def list(self, _request: Request) -> Response:
        return only_page(WorkerSerializer(live_workers().order_by("name"), many=True).data)


class QueueViewSet(ViewSet):
    """How busy the queues are, over all users: numbers alone."""

    @extend_schema(responses=QueuePageSerializer)
    def list(self, _request: Request) -> Response:
        return only_page(QueueStateSerializer(queue_states(), many=True).data)


def _actor(request: Request) -> str:
    return f"user:{caller(request).pk}"


def _after(request: Request) -> int:
    after: int = parse_query(EventQuerySerializer, request)["after"]
    return after


def _history(
    request: Request, events: QuerySet[JobEvent], kind: type[serializers.BaseSerializer[Any]]
) -> Response:
    """Answer one page of events; `next` leads on from the last one."""
    limit: int = parse_query(EventQuerySerializer, request)["limit"]
    rows = list(events[: limit + 1])
    next_url = None
    if len(rows) > limit:
        rows.pop()
        next_url = replace_query_param(request.build_absolute_uri(), "after", rows[-1].seq)
    return Response({"next": next_url, "previous": None, "results": kind(rows, many=True).data})
