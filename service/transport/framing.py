"""What a request's head has to say, so that it means the same to everybody who reads it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

import httptools

from service.api.error_kinds import MALFORMED
from service.api.errors import ServiceError

VERSIONS = frozenset({"1.0", "1.1"})


def checked_framing(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The field that says how long a request's body is; nothing where it has none.

    The parser refuses what could be read in two ways: two lengths, or a length and chunks. This refuses what
    the parser takes and a proxy before it may take otherwise (RFC 9112, 3.2 and 6.1).

    Args:
        version: as in `HTTP/1.1`.
        target: what the request line asks for.
        headers: fields, their names in lower case.

    Raises:
        ServiceError: MALFORMED.
    """
    if version not in VERSIONS:
        raise ServiceError(MALFORMED, f"this is HTTP/{version}; HTTP/1.1 and HTTP/1.0 are spoken here")
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise ServiceError(MALFORMED, f"a request has one `Host`; this one has {hosts or 'none'}")
    if httptools.parse_url(target).path is None:
        raise ServiceError(MALFORMED, "the request's target has no path")
    try:
        unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        # Read leniently, ids that differ would come to one.
        raise ServiceError(MALFORMED, "the URL holds bytes that are no UTF-8; ids and names are") from None
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings:
        if codings != [b"chunked"] or version != "1.1":
            raise ServiceError(MALFORMED, "`Transfer-Encoding` is taken as `chunked` alone, and in HTTP/1.1")
        return b"Transfer-Encoding: chunked"
    lengths = [value.strip() for name, value in headers if name == b"content-length"]
    return b"Content-Length: " + lengths[0] if lengths and int(lengths[0]) else b""
