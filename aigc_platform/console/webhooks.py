"""Webhooks in the admin: which receivers fail and why, what they were told, and a second chance for messages."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from aigc_platform.common.exceptions import PlatformError
from aigc_platform.console import markup
from aigc_platform.console.job_page import link
from aigc_platform.console.read_only import ReadOnlyAdmin, ReadOnlyInline
from aigc_platform.webhooks import services
from aigc_platform.webhooks.filters import in_state
from aigc_platform.webhooks.models import DisabledReason, FailureReason, WebhookDelivery, WebhookEndpoint

_MOST_AT_ONCE = 500
_NAMED_REFUSALS = 10
_DELIVERY_TONES = {"pending": "info", "delivered": "success", "failed": "danger"}
_ENDPOINT_TONES = {"working": "success", "untried": "default", "failing": "warning", "disabled": "danger"}


def state_of(endpoint: WebhookEndpoint) -> str:
    if not endpoint.enabled:
        return "disabled"
    if endpoint.failing_since is not None:
        return "failing"
    return "working" if endpoint.last_delivered_at is not None else "untried"


def trouble(delivery: WebhookDelivery) -> str:
    """Return why the last attempt failed, in words; the status where that says it all."""
    status = f"status {delivery.last_status_code}" if delivery.last_status_code else ""
    if delivery.last_failure in {"", FailureReason.BAD_STATUS}:
        return status or markup.NOTHING
    words = str(FailureReason(delivery.last_failure).label)
    return f"{words} ({status})" if status else words


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name.capitalize()) for name in _DELIVERY_TONES]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]
    ) -> QuerySet[WebhookDelivery]:
        return in_state(queryset, str(self.value())) if self.value() in _DELIVERY_TONES else queryset


class DeliveryColumns:
    """What a list of messages shows of each."""

    @display(description="state", label=_DELIVERY_TONES)
    def state_label(self, delivery: WebhookDelivery) -> str:
        return delivery.status

    @admin.display(description="last answer")
    def answer(self, delivery: WebhookDelivery) -> str:
        return trouble(delivery)

    @admin.display(description="created")
    def created(self, delivery: WebhookDelivery) -> str:
        return markup.moment(delivery.created_at)

    @admin.display(description="next attempt")
    def next_attempt(self, delivery: WebhookDelivery) -> str:
        at = delivery.next_attempt_at
        return "due" if at is not None and at <= timezone.now() else markup.moment(at)


class DeliveryInline(DeliveryColumns, ReadOnlyInline):
    model = WebhookDelivery
    fields = readonly_fields = ("event", "state_label", "attempts", "answer", "next_attempt", "created")
    verbose_name_plural = "messages"

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        return super().get_queryset(request).order_by("-created_at", "-id")

    @admin.display(description="message")
    def event(self, delivery: WebhookDelivery) -> SafeString:
        return link("webhooks_webhookdelivery", delivery.pk, delivery.event_type)


@admin.register(WebhookEndpoint)
class EndpointAdmin(ReadOnlyAdmin):
    list_display = ("shown_url", "state_label", "waiting", "owner", "last_delivered", "created")
    list_filter = (
        "enabled",
        ("disabled_reason", ChoicesDropdownFilter),
        ("owner", AutocompleteSelectFilter),
    )
    list_select_related = ("owner",)
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("id", "url", "description", "owner__username")
    actions = ("enable", "disable")
    inlines = (DeliveryInline,)
    # The secrets are nobody's to see, not even an operator's.
    fields = readonly_fields = (
        "whole_url", "description", "owner", "state_label", "disabled_words", "subscribed", "failures", "failing",
        "last_delivered", "rotation", "created",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).filter(deleted_at__isnull=True)
        pending = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), next_attempt_at__isnull=False)
        counted = pending.order_by().values("endpoint").annotate(count=Count("pk")).values("count")
        annotated: QuerySet[Any] = rows.annotate(waiting=Subquery(counted))
        return annotated

    @admin.action(permissions=["operate"], description="Enable selected endpoints")
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._switch(request, queryset, on=True)

    @admin.action(permissions=["operate"], description="Disable selected endpoints")
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._switch(request, queryset, on=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint], *, on: bool) -> None:
        chosen = list(queryset.values_list("pk", flat=True)[:_MOST_AT_ONCE])
        reason = DisabledReason.ADMIN
        done = sum(services.switch_endpoint(endpoint_id=pk, on=on, reason=reason) for pk in chosen)
        word = "enabled" if on else "disabled"
        if done:
            text = ngettext(f"%d endpoint {word}.", f"%d endpoints {word}.", done)
            messages.success(request, text % done)
        if unchanged := len(chosen) - done:
            text = ngettext(f"%d endpoint was {word} before.", f"%d endpoints were {word} before.", unchanged)
            messages.warning(request, text % unchanged)

    @display(description="address")
    def shown_url(self, endpoint: WebhookEndpoint) -> str:
        return _short(endpoint.url, 80)

    @display(description="address")
    def whole_url(self, endpoint: WebhookEndpoint) -> str:
        return markup.code(endpoint.url)

    @display(description="state", label=_ENDPOINT_TONES)
    def state_label(self, endpoint: WebhookEndpoint) -> str:
        return state_of(endpoint)

    @display(description="waiting")
    def waiting(self, endpoint: Any) -> str:
        return f"{endpoint.waiting:,}" if endpoint.waiting else markup.NOTHING

    @display(description="last delivered")
    def last_delivered(self, endpoint: WebhookEndpoint) -> str:
        return markup.moment(endpoint.last_delivered_at) if endpoint.last_delivered_at else "never"

    @display(description="created")
    def created(self, endpoint: WebhookEndpoint) -> str:
        return markup.moment(endpoint.created_at)

    @display(description="disabled because")
    def disabled_words(self, endpoint: WebhookEndpoint) -> str:
        reason = endpoint.disabled_reason
        return str(DisabledReason(reason).label) if reason else markup.NOTHING

    @display(description="is told of")
    def subscribed(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.event_types)

    @display(description="failing since")
    def failing(self, endpoint: WebhookEndpoint) -> str:
        return markup.moment(endpoint.failing_since)

    @display(description="old secret also signs until")
    def rotation(self, endpoint: WebhookEndpoint) -> str:
        return markup.moment(endpoint.previous_secret_expires_at)


@admin.register(WebhookDelivery)
class DeliveryAdmin(DeliveryColumns, ReadOnlyAdmin):
    list_display = ("event", "state_label", "attempts", "answer", "endpoint_link", "next_attempt", "created")
    list_display_links = ("event",)
    list_filter = (
        StateFilter,
        ("event_type", ChoicesDropdownFilter),
        ("last_failure", ChoicesDropdownFilter),
    )
    list_select_related = ("endpoint",)
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("id", "event_id", "job_id", "endpoint__url")
    actions = ("redeliver",)
    fields = readonly_fields = (
        "event", "event_id", "endpoint_link", "job", "state_label", "attempts", "answer", "last_attempt",
        "next_attempt", "created", "payload_json",
    )  # fmt: skip

    @admin.action(permissions=["operate"], description="Send selected messages again")
    def redeliver(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        """One service call a message, and an account of those that were refused."""
        done, refused = 0, []
        for delivery in queryset[:_MOST_AT_ONCE]:
            try:
                services.redeliver(delivery_id=delivery.pk)
                done += 1
            except PlatformError as error:
                refused.append(f"{delivery}: {error.message.rstrip('.')}")
        if done:
            text = ngettext("%d message will be sent again.", "%d messages will be sent again.", done)
            messages.success(request, text % done)
        if refused:
            head = ngettext("%d message refused", "%d messages refused", len(refused)) % len(refused)
            messages.warning(request, f"{head}. {'; '.join(refused[:_NAMED_REFUSALS])}.")

    @display(description="message")
    def event(self, delivery: WebhookDelivery) -> str:
        return delivery.event_type

    @display(description="endpoint")
    def endpoint_link(self, delivery: WebhookDelivery) -> SafeString:
        url = _short(delivery.endpoint.url, 40)
        return link(
            "webhooks_webhookendpoint",
            delivery.endpoint_id,
            format_html('<span class="c-nowrap">{}</span>', url),
        )

    @display(description="job")
    def job(self, delivery: WebhookDelivery) -> str:
        if delivery.job_id is None:
            return markup.NOTHING
        return link("jobs_job", delivery.job_id, delivery.job_id)

    @display(description="last attempt")
    def last_attempt(self, delivery: WebhookDelivery) -> str:
        return markup.moment(delivery.last_attempt_at)

    @display(description="payload")
    def payload_json(self, delivery: WebhookDelivery) -> str:
        return markup.pretty_json(delivery.payload)
