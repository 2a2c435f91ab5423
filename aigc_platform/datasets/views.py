"""`/api/v1/datasets`: create, upload, complete, look."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from aigc_platform.accounts.authentication import caller
from aigc_platform.api.views import OwnedViewSet
from aigc_platform.datasets.filters import DatasetFilter
from aigc_platform.datasets.models import Dataset
from aigc_platform.datasets.selectors import with_versions
from aigc_platform.datasets.serializers import (
    CompletionSerializer,
    DatasetRequestSerializer,
    DatasetSerializer,
)
from aigc_platform.datasets.services import complete_upload, create_builtin_dataset, create_upload_dataset
from aigc_platform.jobs.submissions import idempotency_parameter, keyed_submission


class DatasetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, OwnedViewSet):
    """The caller's data sets."""

    queryset = Dataset.objects.all()
    serializer_class = DatasetSerializer
    filterset_class = DatasetFilter

    def get_queryset(self) -> QuerySet[Dataset]:
        return with_versions(super().get_queryset())

    @extend_schema(
        request=DatasetRequestSerializer,
        parameters=[idempotency_parameter],
        responses={201: DatasetSerializer, 202: DatasetSerializer},
    )
    def create(self, request: Request) -> Response:
        """Create a data set: 202 while a built-in one is imported, 201 with the form of an upload."""
        body = DatasetRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        owner, builtin = caller(request), body.validated_data["builtin"]
        if builtin is None:
            dataset = create_upload_dataset(owner=owner, new=body.wish())
            return self._answer(dataset.pk, status.HTTP_201_CREATED)
        dataset = create_builtin_dataset(
            owner=owner, new=body.wish(), builtin=builtin, submission=keyed_submission(request)
        )
        return self._answer(dataset.pk, status.HTTP_202_ACCEPTED)

    @extend_schema(request=CompletionSerializer, responses={200: DatasetSerializer, 202: DatasetSerializer})
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, **_: Any) -> Response:
        """Say that the archive is uploaded: 202 when its import begins, 200 when that was said before."""
        dataset = self.get_object()
        body = CompletionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        dataset, is_new = complete_upload(dataset_id=dataset.pk, **body.validated_data)
        return self._answer(dataset.pk, status.HTTP_202_ACCEPTED if is_new else status.HTTP_200_OK)

    def _answer(self, dataset_id: UUID, code: int) -> Response:
        dataset = self.get_queryset().get(pk=dataset_id)
        body = DatasetSerializer(dataset, context=self.get_serializer_context()).data
        return Response(body, code, headers={"Location": body["urls"]["self"]})
