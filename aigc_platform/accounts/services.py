"""What changes accounts: making users, making and revoking tokens."""

import secrets
from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from aigc_platform.accounts.exceptions import UserExistsError, WeakPasswordError
from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.accounts.selectors import hash_secret, last_use_is_stale
from aigc_platform.api.scopes import Scope
from aigc_platform.common.exceptions import FieldProblem

_SECRET_BYTES = 32
_PREFIX_BYTES = 4


def create_user(*, username: str, password: str, email: str = "") -> User:
    """Create a user who may use the API but not the admin.

    Raises:
        UserExistsError: the name is taken.
        WeakPasswordError: the password breaks a rule of AUTH_PASSWORD_VALIDATORS.
    """
    return _create(username=username, password=password, email=email, is_admin=False)


def create_superuser(*, username: str, password: str, email: str = "") -> User:
    """Create a user who may do everything, also in the admin. Raises as `create_user`."""
    return _create(username=username, password=password, email=email, is_admin=True)


def create_token(
    *, user: User, name: str, scopes: Sequence[str] = (Scope.ALL,), expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Create a token and return it with its secret, which is stored nowhere and cannot be shown again."""
    prefix = secrets.token_hex(_PREFIX_BYTES)
    secret = f"aigc_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    token = ApiToken.objects.create(
        owner=user,
        name=name,
        prefix=prefix,
        secret_sha256=hash_secret(secret),
        scopes=[str(scope) for scope in scopes],
        expires_at=expires_at,
    )
    token.refresh_from_db()
    return token, secret


def revoke_token(*, token: ApiToken) -> None:
    """Make a token useless at once and for ever. Revoking twice changes nothing."""
    ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=Now())


def record_token_use(*, token: ApiToken) -> None:
    """Write the time of use unless that was done within the last minute."""
    ApiToken.objects.filter(last_use_is_stale(), pk=token.pk).update(last_used_at=Now())


def _create(*, username: str, password: str, email: str, is_admin: bool) -> User:
    try:
        validate_password(password, User(username=username, email=email))
    except ValidationError as error:
        raise WeakPasswordError(
            errors=[FieldProblem("/password", "account.weak_password", message) for message in error.messages]
        ) from error
    make = User.objects.create_superuser if is_admin else User.objects.create_user
    try:
        with transaction.atomic():
            return make(username=username, password=password, email=email)
    except IntegrityError as error:
        raise UserExistsError(f"A user named {username!r} exists already.") from error
