"""Which site's page a browser's request comes from, by headers that no page can set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD"})
OTHERS = frozenset({"cross-site", "same-site"})
"""`Sec-Fetch-Site` of another site's page. The "same site" is other ports of this host: other programs."""


def is_foreign(method: str, headers: Mapping[str, str], trusted: Collection[str]) -> bool:
    """Whether a browser asks for this on behalf of another site's page.

    A form of any page can be sent anywhere, by a multipart POST too; the browser says where it comes from by
    `Origin`, and by `Sec-Fetch-Site`. What changes nothing may be opened from another page by a link, but not
    be loaded into it. A client that is no browser sends neither header.

    Args:
        headers: of the request, by names in lower case.
        trusted: origins whose pages may do everything.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin in trusted:
        return False
    if method in SAFE_METHODS:
        return site in OTHERS and headers.get("sec-fetch-mode") != "navigate"
    return site in OTHERS or (origin is not None and not _is_origin_of(origin, headers.get("host", "")))


def _is_origin_of(origin: str, host_header: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host_header.lower()
    except ValueError:
        return False
