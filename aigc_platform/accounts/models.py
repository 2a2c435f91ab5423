"""Users and API tokens. A token's secret is never stored: its SHA-256 is."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aigc_platform.api.scopes import Scope
from aigc_platform.common.uuid7 import uuid7


class User(AbstractUser):
    """A person or a program that owns jobs, data sets and models."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)


def full_scope() -> list[str]:
    return [Scope.ALL.value]


class ApiToken(models.Model):
    """A key to the API. `prefix` tells tokens apart in lists and logs; it opens nothing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    secret_sha256 = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope.choices), default=full_scope)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="api_token_has_a_scope", condition=Q(scopes__len__gte=1)),
        ]
        indexes = [models.Index(fields=["owner", "-created_at", "-id"], name="api_token_owner_newest")]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} (aigc_{self.prefix}…)"
