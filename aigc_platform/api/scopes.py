"""What an API token may do."""

from django.db import models
from rest_framework.permissions import SAFE_METHODS


class Scope(models.TextChoices):
    """Each scope contains the ones below it."""

    ALL = "*", "everything, also making and revoking tokens"
    WRITE = "write", "every method, but no tokens"
    READ = "read", "GET and HEAD"


_GRANTED_BY: dict[Scope, frozenset[str]] = {
    Scope.ALL: frozenset({Scope.ALL}),
    Scope.WRITE: frozenset({Scope.ALL, Scope.WRITE}),
    Scope.READ: frozenset({Scope.ALL, Scope.WRITE, Scope.READ}),
}


def scope_for_method(method: str) -> Scope:
    return Scope.READ if method in SAFE_METHODS else Scope.WRITE


def is_granted(needed: Scope, held: list[str]) -> bool:
    return not _GRANTED_BY[needed].isdisjoint(held)
