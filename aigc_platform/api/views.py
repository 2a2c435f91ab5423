"""The one base of every view that shows or changes somebody's rows."""

from typing import Any

from django.db.models import Model, QuerySet
from rest_framework.viewsets import GenericViewSet


class OwnedViewSet(GenericViewSet[Any]):
    """Rows of the calling user alone: anybody else's id is unknown here, so it answers 404.

    Attributes:
        owner_path: lookup from the row to its owner.
    """

    owner_path = "owner"
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[Model]:
        return super().get_queryset().filter(**{self.owner_path: self.request.user})
