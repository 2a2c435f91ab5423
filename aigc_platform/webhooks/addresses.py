"""Where messages may go. Users choose the addresses, so everything inside our own network is out of reach.

The rule is checked twice: when an endpoint is registered, as far as the text tells (no name is looked up in the API),
and at each sending against the address that is really connected to (`webhooks.sending`).
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from aigc_platform.common.exceptions import FieldProblem
from aigc_platform.webhooks.exceptions import BadEndpointUrlError

MAX_URL_LENGTH = 2000
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def check_url(url: str) -> None:
    """Refuse an address that messages will never be sent to.

    Raises:
        BadEndpointUrlError: no absolute address, not https, with a user name, or at a private address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad("This is not an address.") from None
    if not url.isascii() or not url.isprintable() or any(mark in url for mark in ' <>"\\^`{|}'):
        raise _bad("Write the address in ASCII; encode other characters (host names in punycode).")
    # A percent sign in a host is a zone of this machine's network, or hides something else.
    if parts.scheme not in {"http", "https"} or not parts.hostname or "%" in parts.netloc or port == 0:
        raise _bad("Write an absolute address such as https://example.com/hooks.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _bad("Leave out user name, password and fragment; messages are signed instead.")
    if is_allowed_host(parts):
        return
    if parts.scheme != "https":
        raise _bad("Use https: messages are sent by plain http only to hosts that the operator has allowed.")
    literal = _literal_address(parts.hostname)
    if parts.hostname == "localhost" or (literal is not None and not is_public(literal)):
        raise _bad("This address is not reachable from the internet; the operator may allow its host.")


def is_allowed_host(parts: SplitResult) -> bool:
    """Tell whether the operator lets messages go there whatever the scheme and the address are."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    bracketed = f"[{host}]" if ":" in host else host
    return bool({host, f"{bracketed}:{port}"} & settings.WEBHOOK_ALLOWED_HOSTS)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is one of the internet's: not private, loopback, link-local, mapped or reserved."""
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_UNICAST and address.is_global and not address.is_multicast
    return address.is_global and not address.is_multicast and not address.is_reserved


def _literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that the host is, also in its decimal, octal and hexadecimal spellings; no lookup."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return ip_address(found[0][4][0])


def _bad(message: str) -> BadEndpointUrlError:
    return BadEndpointUrlError(message, errors=[FieldProblem("/url", BadEndpointUrlError.code, message)])
