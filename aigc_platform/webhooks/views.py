"""`/api/v1/webhook-endpoints`: where to be told about jobs, and what was told."""

from typing import Any
from uuid import UUID

from django_filters import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from aigc_platform.accounts.authentication import caller
from aigc_platform.api.views import OwnedViewSet
from aigc_platform.webhooks import services
from aigc_platform.webhooks.filters import DeliveryFilter
from aigc_platform.webhooks.models import WebhookDelivery
from aigc_platform.webhooks.selectors import get_delivery, kept_endpoints
from aigc_platform.webhooks.serializers import (
    DeliverySerializer,
    EndpointChangeSerializer,
    EndpointRequestSerializer,
    EndpointSerializer,
    NewEndpointSerializer,
)


class WebhookEndpointViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, OwnedViewSet):
    """Addresses that are told about the caller's jobs, with messages signed as Standard Webhooks says."""

    queryset = kept_endpoints()
    serializer_class = EndpointSerializer
    # Endpoints are few; the list of deliveries sets its own.
    filterset_class: type[FilterSet] | None = None

    @extend_schema(request=EndpointRequestSerializer, responses={201: NewEndpointSerializer})
    def create(self, request: Request) -> Response:
        """Register an address. The answer, and no later one, has the secret that verifies its messages."""
        body = EndpointRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        endpoint = services.create_endpoint(owner=caller(request), **body.validated_data)
        shown = NewEndpointSerializer(endpoint, context=self.get_serializer_context()).data
        return Response(shown, status.HTTP_201_CREATED, headers={"Location": shown["urls"]["self"]})

    @extend_schema(request=EndpointChangeSerializer, responses=EndpointSerializer)
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change the address, the event types, or whether it is enabled."""
        endpoint = self.get_object()
        body = EndpointChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        endpoint = services.change_endpoint(endpoint_id=endpoint.pk, **body.validated_data)
        return Response(self.get_serializer(endpoint).data)

    def destroy(self, _request: Request, **_: Any) -> Response:
        """Send nothing there any more, and forget its messages."""
        services.delete_endpoint(endpoint_id=self.get_object().pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=NewEndpointSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, _request: Request, **_: Any) -> Response:
        """Make a new secret; for 24 hours every message carries a signature with the old one as well."""
        endpoint = services.rotate_secret(endpoint_id=self.get_object().pk)
        return Response(NewEndpointSerializer(endpoint, context=self.get_serializer_context()).data)

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, _request: Request, **_: Any) -> Response:
        """Send a `webhook.test` message, whatever the endpoint subscribes to."""
        return self._accepted(services.send_test(endpoint_id=self.get_object().pk))

    @extend_schema(responses=DeliverySerializer(many=True))
    @action(detail=True, filterset_class=DeliveryFilter)
    def deliveries(self, _request: Request, **_: Any) -> Response:
        """The endpoint's messages of the last 30 days, the newest first, and what became of each."""
        messages = WebhookDelivery.objects.filter(endpoint=self.get_object())
        page = self.paginate_queryset(self.filter_queryset(messages))
        shown = DeliverySerializer(page, many=True, context=self.get_serializer_context())
        return self.get_paginated_response(shown.data)

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @action(
        detail=True,
        methods=["post"],
        url_path="deliveries/<uuid:delivery>/redeliver",
        pagination_class=None,
    )
    def redeliver(self, _request: Request, delivery: UUID, **_: Any) -> Response:
        """Send a message again with its old id, as often as it takes."""
        found = get_delivery(self.get_object(), delivery)
        return self._accepted(services.redeliver(delivery_id=found.pk))

    def _accepted(self, delivery: WebhookDelivery) -> Response:
        shown = DeliverySerializer(delivery, context=self.get_serializer_context())
        return Response(shown.data, status.HTTP_202_ACCEPTED)
