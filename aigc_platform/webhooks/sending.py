"""One attempt: sign a message, post it, say what came of it. Knows no database.

The host's name is looked up once, the address is judged, and that very address is connected to: a name that changes
its address between check and use gains nothing. Redirects are failures, proxies and `.netrc` of the environment are
ignored, and of the answer nothing is kept but its status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from standardwebhooks import Webhook

from aigc_platform.webhooks.addresses import is_allowed_host, is_public
from aigc_platform.webhooks.deadlines import Deadline
from aigc_platform.webhooks.models import FailureReason

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
TOTAL_SECONDS = 15.0
"""A receiver that sends a byte now and then keeps within the other two limits for ever; not within this one."""

_RETRY_AFTER_STATUSES = frozenset({429, 502, 503, 504})
_GONE = 410


@dataclass(frozen=True)
class Message:
    """What is posted where.

    Attributes:
        event_id: the `webhook-id`.
        body: exactly these characters are signed and sent.
        secrets: one signature is made with each.
        at: time of the attempt, written into the signature.
    """

    url: str
    event_id: str
    body: str
    secrets: Sequence[str]
    at: datetime


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt; delivered if there is no failure.

    Attributes:
        status_code: of the answer, if there was one.
        retry_after_seconds: what the receiver asked for, or 0.
    """

    failure: FailureReason | None = None
    status_code: int | None = None
    retry_after_seconds: float = 0.0


def send(message: Message, deadline: Deadline | None = None) -> Outcome:
    """Post the message once. Takes at most `TOTAL_SECONDS`, or less if somebody else cuts the deadline."""
    parts = urlsplit(message.url)
    trusted = is_allowed_host(parts)
    if parts.scheme != "https" and not trusted:
        return Outcome(FailureReason.ADDRESS_REFUSED)
    with deadline or Deadline(TOTAL_SECONDS) as watch, _session(watch, trusted=trusted) as session:
        try:
            with session.post(
                message.url, data=message.body.encode(), headers=_headers(message), stream=True
            ) as answer:
                # An answer that was cut off in the middle of its headers looks like a whole one.
                return Outcome(FailureReason.TIMEOUT) if watch.is_over else _judge(answer)
        except InvalidIPAddress:
            return Outcome(FailureReason.ADDRESS_REFUSED)
        except requests.exceptions.SSLError:
            return Outcome(FailureReason.TIMEOUT if watch.is_over else FailureReason.TLS_FAILED)
        except requests.Timeout:
            return Outcome(FailureReason.TIMEOUT)
        except (requests.RequestException, OSError, ValueError):
            # ValueError: an address that requests cannot prepare, or an answer that is no HTTP.
            return Outcome(FailureReason.TIMEOUT if watch.is_over else FailureReason.UNREACHABLE)


def signatures(message: Message) -> str:
    """Return the header of the Standard Webhooks scheme: one `v1,…` for each secret."""
    made = (
        Webhook(secret).sign(msg_id=message.event_id, timestamp=message.at.astimezone(UTC), data=message.body)
        for secret in message.secrets
    )
    return " ".join(made)


def _headers(message: Message) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": "*/*",
        "webhook-id": message.event_id,
        "webhook-timestamp": str(int(message.at.timestamp())),
        "webhook-signature": signatures(message),
    }


def _judge(answer: requests.Response) -> Outcome:
    code = answer.status_code
    if 200 <= code < 300:
        return Outcome(status_code=code)
    if code == _GONE:
        return Outcome(FailureReason.GONE, code)
    if 300 <= code < 400:
        return Outcome(FailureReason.REDIRECT, code)
    asked = answer.headers.get("Retry-After", "") if code in _RETRY_AFTER_STATUSES else ""
    return Outcome(FailureReason.BAD_STATUS, code, float(asked) if asked.isdecimal() else 0.0)


def _session(watch: Deadline, *, trusted: bool) -> HTTPSession:
    config = Config(
        ip_filter_enable=not trusted,
        ip_filter_allow_loopback_ips=False,
        never_redirect=True,
        default_timeout=(CONNECT_SECONDS, READ_SECONDS),
        user_agent_override="aigc-platform-webhooks",
    )
    session = HTTPSession(config)
    session.trust_env = False
    session.mount("https://", _WatchedAdapter(watch) if trusted else _GuardedAdapter(watch))
    if trusted:
        session.mount("http://", _WatchedAdapter(watch))
    return session


class _Watched(HTTPAdapter):
    """Puts every connection under a deadline."""

    watch: Deadline

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool = super().get_connection_with_tls_context(*arguments, **options)
        self.watch.over(pool)
        return pool


class _WatchedAdapter(_Watched):
    """For hosts that the operator has allowed: any address."""

    def __init__(self, watch: Deadline) -> None:
        self.watch = watch
        super().__init__()


class _GuardedAdapter(_Watched, IPFilterAdapter):
    """Connects to the address it has judged, and only if that is a public one."""

    def __init__(self, watch: Deadline) -> None:
        self.watch = watch
        IPFilterAdapter.__init__(self, is_https_proto=True, allow_loopback=False)

    def build_connection_pool_key_attributes(self, *arguments: Any, **options: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*arguments, **options)
        # The library lets through some reserved forms, such as IPv4 written as ::127.0.0.1.
        address = ip_address(host["host"].strip("[]"))
        if not is_public(address):
            raise InvalidIPAddress(address)
        return host, pool
