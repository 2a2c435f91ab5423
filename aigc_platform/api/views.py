"""The one base of every view that shows or changes somebody's rows."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework.viewsets import GenericViewSet


class OwnedViewSet(GenericViewSet[Any]):
    """Rows of the calling user alone: anybody else's id is unknown here, so it answers 404.

    Attributes:
        owner_path: lookup from the row to its owner.
    """

    owner_path = "owner"
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            # The schema is made without a request; it needs the columns alone.
            return rows.none()
        return rows.filter(**{self.owner_path: self.request.user})

    def get_object(self) -> Any:
        """Return the row the address names. Filters of lists do not apply: an id is an id."""
        name = self.lookup_field
        return get_object_or_404(self.get_queryset(), **{name: self.kwargs[name]})
