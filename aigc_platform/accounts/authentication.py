"""`Authorization: Token <secret>` for the API."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.accounts.selectors import find_token
from aigc_platform.accounts.services import record_token_use

_SCHEME = "Token"


class TokenAuthentication(BaseAuthentication):
    """Authenticate by API token. Another scheme or no header at all is left to the permission classes."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != _SCHEME.lower().encode():
            return None
        found = find_token(secret.strip().decode("latin-1"))
        if found is None:
            raise AuthenticationFailed("This token is unknown or was revoked.", code="auth.invalid")
        if found.is_expired:
            raise AuthenticationFailed(
                "This token has expired; create a new one with POST /api/v1/tokens.", code="auth.expired"
            )
        if found.is_last_use_stale:
            record_token_use(token=found.token)
        return found.token.owner, found.token

    def authenticate_header(self, _request: Request) -> str:
        return _SCHEME


def caller(request: Request) -> User:
    """Return the user behind an authenticated request."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library has no types
    """How the OpenAPI document describes the header."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, _auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <secret>`, made with POST /api/v1/tokens or `manage.py create_token`.",
        }
