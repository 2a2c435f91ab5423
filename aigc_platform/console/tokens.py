"""API tokens in the admin: made and revoked by the account services; a secret is shown once, a hash never."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from aigc_platform.accounts.models import ApiToken
from aigc_platform.accounts.services import create_token, revoke_token
from aigc_platform.api.scopes import Scope
from aigc_platform.console import markup
from aigc_platform.console.read_only import ReadOnlyAdmin

_TONES = {"active": "success", "expired": "warning", "revoked": "default"}


def state_of(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= timezone.now() else "active"


class TokenForm(forms.ModelForm[ApiToken]):
    """What one chooses for a new token. Each scope contains the ones below it, so one is enough."""

    scope = forms.ChoiceField(
        choices=[(scope.value, f"{scope.name.lower()}: {scope.label}") for scope in Scope],
        initial=Scope.WRITE,
        widget=UnfoldAdminRadioSelectWidget(radio_style=admin.VERTICAL),
    )

    class Meta:
        model = ApiToken
        fields = ("owner", "name", "expires_at")

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("This time has passed; a token must expire in the future or never.")
        return expires_at


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("usable", "Not revoked"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        if self.value() not in {"usable", "revoked"}:
            return queryset
        return queryset.filter(revoked_at__isnull=self.value() == "usable")


@admin.register(ApiToken)
class TokenAdmin(ReadOnlyAdmin):
    form = TokenForm
    list_display = (
        "name",
        "shown_prefix",
        "state_label",
        "owner",
        "scope_names",
        "created",
        "expires",
        "last_use",
    )
    list_filter = (StateFilter, ("owner", AutocompleteSelectFilter))
    list_select_related = ("owner",)
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("name", "prefix", "owner__username")
    autocomplete_fields = ("owner",)
    actions = ("revoke_tokens",)
    change_form_outer_before_template = "console/token.html"
    readonly_fields = (
        "shown_prefix",
        "state_label",
        "scope_names",
        "created",
        "expires",
        "last_use",
        "revoked",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.add_apitoken")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj else ()

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("name", "owner", *self.readonly_fields) if obj else ("owner", "name", "scope", "expires_at")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.revoke_view))
        return [path("<uuid:token_id>/revoke/", view, name="accounts_apitoken_revoke"), *super().get_urls()]

    def page_context(self, request: HttpRequest, row: ApiToken) -> dict[str, Any]:
        may_revoke = row.revoked_at is None and self.has_operate_permission(request)
        return {"token": row, "may_revoke": may_revoke}

    def save_model(self, request: HttpRequest, obj: ApiToken, form: TokenForm, change: bool) -> None:
        token, secret = create_token(
            user=obj.owner, name=obj.name, scopes=[form.cleaned_data["scope"]], expires_at=obj.expires_at
        )
        # What follows in Django's view (log entry, messages) names the row that the service made.
        obj.pk, obj.prefix = token.pk, token.prefix
        messages.warning(
            request,
            format_html(
                "Copy the secret of {} now; it is stored nowhere and cannot be shown again: "
                '<code class="c-secret">{}</code>',
                token.name,
                secret,
            ),
        )

    def revoke_view(self, request: HttpRequest, token_id: Any) -> HttpResponse:
        """Revoke one token: the button on its page."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        self._revoke(request, [get_object_or_404(ApiToken, pk=token_id)])
        return HttpResponseRedirect(reverse("admin:accounts_apitoken_change", args=[token_id]))

    @admin.action(permissions=["operate"], description="Revoke selected tokens")
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        self._revoke(request, list(queryset))

    def _revoke(self, request: HttpRequest, tokens: list[ApiToken]) -> None:
        usable = [token for token in tokens if token.revoked_at is None]
        for token in usable:
            revoke_token(token=token)
        if usable:
            text = ngettext("%d token revoked.", "%d tokens revoked.", len(usable))
            messages.success(request, text % len(usable))
        refused = [str(token) for token in tokens if token.revoked_at is not None]
        if refused:
            text = ngettext("%d token was revoked before: ", "%d tokens were revoked before: ", len(refused))
            messages.warning(request, text % len(refused) + ", ".join(refused))

    @display(description="prefix")
    def shown_prefix(self, token: ApiToken) -> str:
        return markup.code(f"aigc_{token.prefix}_…")

    @display(description="state", label=_TONES)
    def state_label(self, token: ApiToken) -> str:
        return state_of(token)

    @display(description="may do")
    def scope_names(self, token: ApiToken) -> str:
        return "; ".join(str(Scope(scope).label) for scope in token.scopes)

    @display(description="created")
    def created(self, token: ApiToken) -> str:
        return markup.moment(token.created_at)

    @display(description="expires")
    def expires(self, token: ApiToken) -> str:
        return markup.moment(token.expires_at) if token.expires_at else "never"

    @display(description="last used")
    def last_use(self, token: ApiToken) -> str:
        return markup.moment(token.last_used_at) if token.last_used_at else "never"

    @display(description="revoked")
    def revoked(self, token: ApiToken) -> str:
        return markup.moment(token.revoked_at)
