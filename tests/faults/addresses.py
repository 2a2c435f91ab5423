"""The session's servers as seen through proxies."""

from urllib.parse import parse_qs, quote, urlsplit

from tests.faults.proxy import Proxy
from tests.services import Services

_POSTGRES_PORT = 5432


def database_proxy(services: Services) -> Proxy:
    """Stand before PostgreSQL, which may be reached by a unix socket alone."""
    parts = urlsplit(services.database_url)
    socket_folder = parse_qs(parts.query).get("host", [""])[0]
    if socket_folder:
        return Proxy(f"{socket_folder}/.s.PGSQL.{_POSTGRES_PORT}")
    return Proxy((parts.hostname or "127.0.0.1", parts.port or _POSTGRES_PORT))


def database_url(services: Services, proxy: Proxy) -> str:
    parts = urlsplit(services.database_url)
    password = f":{quote(parts.password)}" if parts.password else ""
    return f"postgresql://{parts.username}{password}@127.0.0.1:{proxy.port}{parts.path}"


def broker_proxy(services: Services) -> Proxy:
    parts = urlsplit(services.broker_url)
    return Proxy((parts.hostname or "127.0.0.1", parts.port or 6379))


def broker_url(services: Services, proxy: Proxy) -> str:
    parts = urlsplit(services.broker_url)
    return f"redis://:{quote(parts.password or '')}@127.0.0.1:{proxy.port}{parts.path}"


def store_proxy(services: Services) -> Proxy:
    parts = urlsplit(services.s3_endpoint_url)
    return Proxy((parts.hostname or "127.0.0.1", parts.port or 80))


def store_url(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.port}"
