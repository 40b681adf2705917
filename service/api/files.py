"""Image files as they go over the wire."""

from __future__ import annotations

from fastapi import Response

from models.decoding.formats import MEDIA_TYPES

UNKNOWN = "application/octet-stream"
FILE_EXAMPLES = {
    "png": {"summary": "A PNG file's first 8 bytes, each as a character", "value": "\x89PNG\r\n\x1a\n"}
}
"""For OpenAPI, whose document is text."""


def file_answer(data: bytes, media_type: str) -> Response:
    """A file byte for byte, under its media type where that is an image's, and else as bytes.

    A gallery's files may be from elsewhere, and a browser makes a page of what is called one.
    """
    return Response(data, media_type=media_type if media_type in MEDIA_TYPES else UNKNOWN)
