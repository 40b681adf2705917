"""Entity tags of answers, and whether a request names one (RFC 9110, 8.8.3 and 13.1)."""

from __future__ import annotations

import hashlib


def etag(content: bytes) -> str:
    """The strong tag of these bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_named(tag: str, field: str, *, weak: bool = True) -> bool:
    """Whether a header field with tags names this one.

    Args:
        tag: a strong one.
        field: of `If-None-Match`, where weak tags count, or of `If-Match`, where they do not.
        weak: whether they do.
    """
    tags = [one.strip() for one in field.split(",")]
    return "*" in tags or tag in (one.removeprefix("W/") if weak else one for one in tags)
