"""Who may call an endpoint. Which rows they see is decided by `api.views.OwnedViewSet`."""

from typing import Any, Protocol, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from aigc_platform.api.scopes import is_granted, scope_for_method


class HoldsScopes(Protocol):
    """What authentication leaves in `request.auth`."""

    scopes: list[str]


class HasScope(BasePermission):
    """Let in a request whose token holds the scope the view names, or the one its method needs."""

    message = "This token lacks the scope for this; use one with a wider scope."
    code = "auth.forbidden"

    def has_permission(self, request: Request, view: Any) -> bool:
        # No token: refused here, and DRF makes it a 401 because nothing authenticated the request.
        token = cast("HoldsScopes | None", request.auth)
        if token is None:
            return False
        needed = getattr(view, "required_scope", None) or scope_for_method(request.method or "")
        return is_granted(needed, token.scopes)
