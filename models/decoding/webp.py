"""WebP: the chunks that the pixels need."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL.WebPImagePlugin import WebPImageFile

from models.decoding.bounds import check_size
from models.decoding.opened import Opened
from models.decoding.orientation import read_orientation

_PIXELS = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_METADATA_FLAGS = 0x20 | 0x08 | 0x04
"""In the extended header: there is a colour profile, EXIF, XMP."""


def open_webp(data: bytes) -> Opened:
    """Open a WebP file; its orientation is all that is read of its metadata.

    Raises:
        ImageError: too many pixels.
    """
    kept, metadata = [], {}
    for name, body, chunk in _chunks(data):
        if name == b"VP8X" and len(body) >= 10:
            check_size(*(int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7)))
            kept.append(chunk[:8] + bytes([body[0] & ~_METADATA_FLAGS]) + chunk[9:])
        elif name in _PIXELS:
            _check_bitstream(name, body)
            kept.append(chunk)
        else:
            metadata[name] = body
    chunks = b"".join(kept)
    file = b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks
    orientation = read_orientation(metadata.get(b"EXIF", b""), metadata.get(b"XMP ", b""))
    return Opened(WebPImageFile(io.BytesIO(file)), orientation)


def _check_bitstream(name: bytes, body: bytes) -> None:
    if name == b"VP8 " and len(body) >= 10:
        check_size(*(int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8)))
    elif name == b"VP8L" and len(body) >= 5:
        sides = int.from_bytes(body[1:5], "little")
        check_size((sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, content and the whole of each chunk."""
    start = 12
    while start + 8 <= len(data):
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        body = data[start + 8 : start + 8 + size]
        end = start + 8 + size + size % 2
        # A last chunk may lack the byte that makes it even.
        yield data[start : start + 4], body, data[start:end] + b"\0" * (size % 2 and end - len(data) == 1)
        start = end
