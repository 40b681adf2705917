"""Where a webhook leads to: its URL, and the address of its host, checked once and then used.

Whoever makes a watch could else have the service call what only the service reaches: this machine, its
network, or what a cloud tells its machines about themselves (169.254.169.254).
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

MAX_URL = 2048
NAT64 = IPv6Network("64:ff9b::/96")


class RefusedWebhookError(Exception):
    """A webhook leads where none may; the message says why, and holds no more of the URL than its host."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    Attributes:
        url: with the address in the place of the host's name.
        host: `Host` of the request.
        name: that the server has to prove by its certificate; None for plain HTTP or an address.
    """

    url: str
    host: str
    name: str | None


def check_url(url: str, *, private: bool) -> None:
    """See that a URL may be a webhook's, as far as it says so itself.

    Args:
        url: as it was sent.
        private: whether private addresses, and plain HTTP, are allowed.

    Raises:
        RefusedWebhookError: it may not.
    """
    _split(url, private=private)


async def resolve(url: str, *, private: bool) -> Target:
    """Where a URL leads to now. Whoever connects to it has to use this address, and not ask again.

    Raises:
        RefusedWebhookError: the URL is none of a webhook, or one of its host's addresses is not allowed.
        OSError: the host has no address.
    """
    scheme, host, port, rest = _split(url, private=private)
    default = 443 if scheme == "https" else 80
    found = await asyncio.get_running_loop().getaddrinfo(host, port or default, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    # All of them: of a name with a good and a bad address the next question could be answered by the bad one.
    for address in addresses:
        _check(address, host, private=private)
    shown = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    named = f"[{host}]" if ":" in host else host
    suffix = "" if port is None else f":{port}"
    name = None if scheme == "http" or _is_address(host) else host
    return Target(f"{scheme}://{shown}{suffix}{rest}", f"{named}{suffix}", name)


def _split(url: str, *, private: bool) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and the rest of a URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise RefusedWebhookError("it is no URL") from None
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise RefusedWebhookError(f"it takes at most {MAX_URL} printable ASCII characters without spaces")
    if parts.scheme not in ("http", "https") or not host:
        raise RefusedWebhookError("it takes a URL that begins with https://")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise RefusedWebhookError("it takes no user, no password and no fragment")
    if parts.scheme == "http" and not private:
        raise RefusedWebhookError(
            "it takes https://; plain HTTP is for private networks (LKA_REID_ALLOW_PRIVATE_WEBHOOKS)"
        )
    if _is_address(host):
        _check(ip_address(host), host, private=private)
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, host, port, f"{parts.path or '/'}{query}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check(address: IPv4Address | IPv6Address, host: str, *, private: bool) -> None:
    inner = _embedded(address)
    if inner.is_multicast or inner.is_unspecified:
        raise RefusedWebhookError(f"{host} is at {address}, which is nobody's address")
    is_local = isinstance(inner, IPv6Address) and inner.is_site_local
    if not private and (not inner.is_global or is_local):
        raise RefusedWebhookError(
            f"{host} is at {address}, which is not an address of the internet; "
            "LKA_REID_ALLOW_PRIVATE_WEBHOOKS lets webhooks lead there"
        )


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address in one of IPv6 that leads to it."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
