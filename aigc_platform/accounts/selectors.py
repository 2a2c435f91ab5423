"""Reads of accounts."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from aigc_platform.accounts.models import ApiToken, User

_LAST_USE_RESOLUTION = timedelta(minutes=1)


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """Return a user's tokens that are not revoked; expired ones are shown until deleted."""
    return ApiToken.objects.filter(owner=user, revoked_at__isnull=True)


@dataclass(frozen=True)
class FoundToken:
    """A token someone presented, judged by the database's clock."""

    token: ApiToken
    is_expired: bool
    is_last_use_stale: bool


def find_token(secret: str) -> FoundToken | None:
    """Return the unrevoked token of an active user for this secret, with its owner, in one query."""
    token = (
        ApiToken.objects.select_related("owner")
        .filter(secret_sha256=hash_secret(secret), revoked_at__isnull=True, owner__is_active=True)
        .annotate(
            is_expired=Q(expires_at__isnull=False, expires_at__lte=Now()),
            is_last_use_stale=last_use_is_stale(),
        )
        .first()
    )
    return None if token is None else FoundToken(token, token.is_expired, token.is_last_use_stale)


def last_use_is_stale() -> Q:
    """Return the condition under which the last use is worth writing: at most one write a minute."""
    return Q(last_used_at__isnull=True) | Q(last_used_at__lte=Now() - _LAST_USE_RESOLUTION)


def hash_secret(secret: str) -> str:
    """Return what is stored of a token.

    One round of SHA-256 is enough for 256 random bits; slow hashes are for passwords people choose.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
