"""`/api/v1/models`: names, versions, cards, lineage."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from aigc_platform.accounts.authentication import caller
from aigc_platform.api.views import OwnedViewSet
from aigc_platform.registry.models import Model
from aigc_platform.registry.selectors import model_versions, resolve_version, with_aliases
from aigc_platform.registry.serializers import ModelSerializer, VersionSerializer


class ModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, OwnedViewSet):
    """The caller's models, by name."""

    queryset = Model.objects.all()
    serializer_class = ModelSerializer
    lookup_field = "name"
    lookup_value_converter = "slug"

    def get_queryset(self) -> QuerySet[Model]:
        return with_aliases(super().get_queryset())

    @extend_schema(responses=VersionSerializer(many=True))
    @action(detail=True, serializer_class=VersionSerializer)
    def versions(self, request: Request, name: str) -> Response:
        """All versions of a model, the newest first."""
        page = self.paginate_queryset(model_versions(caller(request), name))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(responses=VersionSerializer)
    @action(
        detail=True,
        url_path="versions/<int:number>",
        url_name="version",
        serializer_class=VersionSerializer,
        pagination_class=None,
    )
    def version(self, request: Request, name: str, number: int, **_: Any) -> Response:
        """One version: snapshot, card, sample grid, figures and lineage."""
        found = resolve_version(caller(request), f"{name}:{number}")
        return Response(self.get_serializer(found).data)
