"""Whether this process lives, and whether it can serve."""

from collections.abc import Callable
from functools import cache

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from aigc_platform.storage.exceptions import StorageError
from aigc_platform.storage.object_store import get_object_store

logger = structlog.get_logger(__name__)

_BROKER_TIMEOUT_SECONDS = 2


def _check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@cache
def _check_migrations() -> None:
    """Raise if a migration is missing. Once complete it stays so: migrations are not undone under a process."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise DatabaseError("migrations are missing")


def _check_object_store() -> None:
    get_object_store().ping()


def _check_broker() -> None:
    url = settings.BROKER_URL
    if url.startswith("redis+socket://"):  # Celery's name for what redis-py calls unix://
        url = url.replace("redis+socket://", "unix://", 1).partition("?")[0]
    with redis.Redis.from_url(
        url, socket_timeout=_BROKER_TIMEOUT_SECONDS, socket_connect_timeout=_BROKER_TIMEOUT_SECONDS
    ) as client:
        client.ping()


_CHECKS: dict[str, Callable[[], None]] = {
    "database": _check_database,
    "migrations": _check_migrations,
    "object_store": _check_object_store,
    "broker": _check_broker,
}
# Jobs are accepted while the broker is down; it only carries doorbells (promise P7).
_NEEDED = frozenset({"database", "migrations", "object_store"})


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer as long as this process can: for restarting it, not for routing to it."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if requests can be served now, else 503; both name what is down, without addresses."""
    checks = {name: _outcome(name, check) for name, check in _CHECKS.items()}
    is_ready = all(checks[name] == "ok" for name in _NEEDED)
    return JsonResponse(
        {"status": "ready" if is_ready else "not_ready", "checks": checks}, status=200 if is_ready else 503
    )


def _outcome(name: str, check: Callable[[], None]) -> str:
    try:
        check()
    except (DatabaseError, StorageError, redis.RedisError, OSError) as error:
        logger.warning("readiness_check_failed", check=name, error=str(error))
        return "down"
    return "ok"
