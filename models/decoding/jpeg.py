"""JPEG: the segments that the pixels need, and how often the file goes over them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from models.decoding.bounds import check_scans, check_size
from models.decoding.errors import ImageError
from models.decoding.opened import Opened
from models.decoding.orientation import read_orientation

MAX_SEGMENTS = 20_000
"""What a file of tens of megabytes needs if all of it is a profile in segments of 64 KiB, many times over."""
_AMPLE = 3
"""Times the longer side of what it is resized to that a smaller decoded image's shorter side has at least."""
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""SOF: the header of a frame, with its size."""
_JFIF, _EXIF, _ADOBE, _COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
_METADATA = frozenset({*range(0xE0, 0xF0), _COMMENT})
_BARE = frozenset({0x01, _START, _END})
"""Markers without a segment; those between restart intervals are not looked at at all."""
# A marker's last two bytes: coded data has no 0xFF but before a zero or a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


class _Segment(NamedTuple):
    """A marker and what belongs to it: it begins at `start`, its content is from `body` to `end`."""

    marker: int
    start: int
    body: int
    end: int


def open_jpeg(data: bytes) -> Opened:
    """Open a JPEG file; its orientation is all that is read of its metadata.

    Raises:
        ImageError: too many pixels, too many scans over them, or too many segments.
    """
    kept = [data[:2]]
    exif, xmp = [], b""
    size, scans, first_scan = (0, 0), 0, len(data)
    for number, segment in enumerate(_segments(data)):
        if number == MAX_SEGMENTS:
            raise ImageError(
                f"the JPEG has more than {MAX_SEGMENTS:,} segments; save it anew, without metadata"
            )
        body = data[segment.body : segment.end]
        if segment.marker == _SCAN:
            first_scan = min(first_scan, segment.start)
            scans += 1
        elif segment.marker in _FRAMES and len(body) >= 5:
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
            check_size(*size)
        if scans:
            continue
        if segment.marker == _EXIF and body.startswith(b"Exif\0\0"):
            exif.append(body[6:])
        elif segment.marker == _EXIF and body.startswith(_XMP):
            xmp = body
        if segment.marker not in _METADATA or _tells_colours(segment.marker, body):
            kept.append(data[segment.start : segment.end])
    check_scans(*size, scans)
    file = b"".join([*kept, data[first_scan:]])
    return Opened(JpegImageFile(io.BytesIO(file)), read_orientation(b"".join(exif), xmp), jpeg=file)


def decode_ordinary(opened: Opened, side: int | None = None) -> Image.Image | None:
    """The pixels of a whole JPEG in three colours, bit for bit those of Pillow, in less time.

    None for any other, and for one that libjpeg-turbo so much as warns of: Pillow is the judge of those.

    Args:
        opened: the file.
        side: px, the longer side of what the image is to be resized to; one that is much larger is decoded
            at a half, a quarter or an eighth of its size.
    """
    if opened.jpeg is None or opened.image.mode != "RGB":
        return None
    part = _shrinking(opened.image.size, side)
    width, height = (-(-each // part) for each in opened.image.size)
    try:
        pixels = simplejpeg.decode_jpeg(opened.jpeg, "RGB", min_height=height, min_width=width, strict=True)
    except ValueError:
        return None
    return Image.fromarray(pixels) if pixels.shape[1::-1] == (width, height) else None


def _shrinking(size: tuple[int, int], side: int | None) -> int:
    """1, 2, 4 or 8: what a size is divided by. Eighths that are no such part change descriptors too much."""
    if side is None:
        return 1
    return max(part for part in (1, 2, 4, 8) if part == 1 or min(size) >= _AMPLE * part * side)


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments up to the image's end; what follows it, such as a second image or a video, is none."""
    position = 2
    while (found := _MARKER.search(data, position)) is not None:
        start, body = found.span()
        marker = data[body - 1]
        if marker == _END:
            return
        if marker in _BARE:
            position = body
            yield _Segment(marker, start, body, body)
        else:
            length = max(2, int.from_bytes(data[body : body + 2], "big"))
            position = min(body + length, len(data))
            yield _Segment(marker, start, body + 2, position)


def _tells_colours(marker: int, body: bytes) -> bool:
    """Whether a metadata segment says how colours are coded, and is long enough to."""
    return (marker == _JFIF and body.startswith(b"JFIF\0") and len(body) >= 14) or (
        marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= 12
    )
