"""Endpoints and deliveries as the API takes and shows them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from aigc_platform.api.serializers import FlagField, StrictSerializer, TextField
from aigc_platform.webhooks.addresses import MAX_URL_LENGTH
from aigc_platform.webhooks.event_types import SUBSCRIBABLE, default_event_types
from aigc_platform.webhooks.models import FailureReason, WebhookDelivery, WebhookEndpoint

_MAX_DESCRIPTION = 200


def _url(**options: Any) -> TextField:
    text = "https; messages go to public addresses alone, unless the operator allowed the host."
    return TextField(max_length=MAX_URL_LENGTH, help_text=text, **options)


def _description(**options: Any) -> TextField:
    return TextField(max_length=_MAX_DESCRIPTION, allow_blank=True, help_text="For people.", **options)


def _event_types(**options: Any) -> serializers.ListField:
    child = serializers.ChoiceField(choices=[(kind.value, kind.value) for kind in SUBSCRIBABLE])
    text = "What to be told; the ends of jobs unless you say otherwise."
    return serializers.ListField(
        child=child, min_length=1, max_length=len(SUBSCRIBABLE), help_text=text, **options
    )


@extend_schema_serializer(component_name="WebhookEndpoint")
class EndpointRequestSerializer(StrictSerializer):
    """An address, and what to tell it."""

    url = _url()
    description = _description(default="")
    event_types = _event_types(default=default_event_types)


@extend_schema_serializer(component_name="WebhookEndpointChange")
class EndpointChangeSerializer(StrictSerializer):
    """What to change; everything left out stays."""

    url = _url(required=False)
    description = _description(required=False)
    event_types = _event_types(required=False)
    enabled = FlagField(
        required=False, help_text="False sends nothing and records nothing; true takes up what still waits."
    )


class EndpointUrlsSerializer(serializers.Serializer[Any]):
    self = serializers.URLField()
    deliveries = serializers.URLField()
    test = serializers.URLField()
    rotate_secret = serializers.URLField()


@extend_schema_serializer(component_name="WebhookEndpoint")
class EndpointSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    """A registered address and how it fares."""

    event_types = serializers.ListField(child=serializers.CharField(), read_only=True)
    disabled_reason = serializers.CharField(
        read_only=True, help_text="`user`, `admin`, `failing` or `gone`; empty while it is enabled."
    )
    urls = serializers.SerializerMethodField()

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id",
            "url",
            "description",
            "event_types",
            "enabled",
            "disabled_reason",
            "created_at",
            "failures",
            "failing_since",
            "last_delivered_at",
            "previous_secret_expires_at",
            "urls",
        ]
        read_only_fields = fields

    @extend_schema_field(EndpointUrlsSerializer)
    def get_urls(self, endpoint: WebhookEndpoint) -> dict[str, str]:
        address = self.context["request"].build_absolute_uri(f"/api/v1/webhook-endpoints/{endpoint.pk}")
        urls = {"self": address}
        urls |= {name: f"{address}/{name}" for name in ("deliveries", "test")}
        return urls | {"rotate_secret": f"{address}/rotate-secret"}


@extend_schema_serializer(component_name="NewWebhookEndpoint")
class NewEndpointSerializer(EndpointSerializer):
    """The same with the secret, which no later answer repeats."""

    secret = serializers.CharField(read_only=True, help_text="Verifies messages: `whsec_…`. Keep it.")

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class DeliveryUrlsSerializer(serializers.Serializer[Any]):
    redeliver = serializers.URLField()


@extend_schema_serializer(component_name="WebhookDelivery")
class DeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """One message to one endpoint. What the receiver answered is not kept, but its status is."""

    event_id = serializers.CharField(read_only=True, help_text="The `webhook-id` header of every attempt.")
    status = serializers.ChoiceField(choices=["pending", "delivered", "failed"], read_only=True)
    payload = serializers.DictField(read_only=True)
    next_attempt_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_failure = serializers.CharField(
        read_only=True, help_text=f"Empty, or one of: {', '.join(FailureReason.values)}."
    )
    urls = serializers.SerializerMethodField()

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "event_id",
            "event_type",
            "job_id",
            "status",
            "attempts",
            "created_at",
            "next_attempt_at",
            "last_attempt_at",
            "last_status_code",
            "last_failure",
            "delivered_at",
            "failed_at",
            "payload",
            "urls",
        ]
        read_only_fields = fields

    @extend_schema_field(DeliveryUrlsSerializer)
    def get_urls(self, delivery: WebhookDelivery) -> dict[str, str]:
        path = f"/api/v1/webhook-endpoints/{delivery.endpoint_id}/deliveries/{delivery.pk}/redeliver"
        return {"redeliver": self.context["request"].build_absolute_uri(path)}
