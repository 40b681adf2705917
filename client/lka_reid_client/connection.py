"""The HTTP connection to a service: by which URL, with which key and through which proxy."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx

from lka_reid_client.errors import ServiceUnreachableError

PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
Made = TypeVar("Made", httpx.Client, httpx.AsyncClient)
UNANSWERED = (httpx.RequestError, httpx.InvalidURL, UnicodeError)
"""What httpx raises where nothing that can be understood was answered."""


def connect(
    made: type[Made], url: str, key: str | None, timeout_s: float, transport: object | None = None
) -> Made:
    """A client of httpx, of either class, for requests below a URL; a transport stands in for the network.

    Raises:
        ServiceUnreachableError: no URL, no key, or a proxy or certificates that cannot be used.
    """
    if key is not None and not key.strip().isprintable():
        raise ServiceUnreachableError(
            "the API key holds characters that no key has; give it as it was printed"
        )
    # As bytes: what is no key is then refused by the service, which says so.
    headers = {b"Accept-Encoding": b"identity"}
    if key is not None:
        headers[b"Authorization"] = b"Bearer " + key.strip().encode("utf-8", "replace")
    try:
        host = httpx.URL(url).host
        # A proxy would look for this machine's service on its own.
        by_itself = f"all://[{host}]" if ":" in host else f"all://{host}"
        mounts: Any = {by_itself: None} if _is_loopback(host) else None
        options: dict[str, Any] = {} if transport is None else {"transport": transport, "trust_env": False}
        return made(base_url=url.rstrip("/"), timeout=timeout_s, headers=headers, mounts=mounts, **options)
    except ImportError as error:
        raise ServiceUnreachableError(
            f"the proxy that ALL_PROXY or HTTPS_PROXY names cannot be used ({error}); unset it, or name the "
            "service's host in NO_PROXY"
        ) from None
    except OSError as error:
        raise ServiceUnreachableError(
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read ({error})"
        ) from None
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise ServiceUnreachableError(
            f"{without_password(url)!r} is no URL, or a proxy's is none{_reason(url, error)}"
        ) from None


def _reason(url: str, error: Exception) -> str:
    """What is wrong with a URL; nothing where the words may be a part of a password."""
    given = [url, *(os.environ.get(name, "") for one in PROXIES for name in (one, one.lower()))]
    return "" if any("@" in one for one in given) else f": {error}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def without_password(url: str, mark: str = "") -> str:
    """The URL as it may be shown: without what may be a user, a password, or a key among its parameters.

    Args:
        url: or a text that was meant as one.
        mark: what stands in their place.

    >>> without_password("https://me:s3/cret@host:8000/reid?key=1#x")
    'https://host:8000/reid'
    >>> without_password("https://me:s3/cret@host:8000/reid?key=1", "***")
    'https://***@host:8000/reid?***'
    """
    before, slashes, rest = url.strip().rpartition("://")
    _, at, rest = rest.rpartition("@")
    shown = re.split(r"[?#]", rest, maxsplit=1)
    scheme = before.rpartition("@")[2].rpartition("?")[2]
    masked_user = f"{mark}@" if at and mark else ""
    masked_end = f"?{mark}" if len(shown) > 1 and mark else ""
    address = shown[0] if mark else shown[0].rstrip("/")
    return f"{scheme}{slashes}{masked_user}{address}{masked_end}"
