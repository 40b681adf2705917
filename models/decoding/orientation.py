"""Which side of an image is up: its EXIF orientation, and nothing else of its metadata.

A block that is damaged or cut short means no orientation, not an error: everything around the image may be
broken, and it is still the image.
"""

from __future__ import annotations

import re
import struct

from PIL import Image

UPRIGHT = 1
SIDEWAYS = frozenset({5, 6, 7, 8})
"""Where width and height change places."""

_TAG = 0x0112
_SIZES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""TIFF's types of whole numbers."""
_PREFIX = b"Exif\0\0"
_XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as it is to be looked at."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def read_orientation(exif: bytes, xmp: bytes = b"") -> int:
    """The orientation, 1 to 8, that EXIF says, else XMP; 1 where neither does.

    Args:
        exif: a block of EXIF: a TIFF header and its first directory, with or without `Exif\\0\\0` before it.
        xmp: a block of XMP.
    """
    found = _in_exif(exif)
    if found is None and (match := _XMP.search(xmp)):
        found = int(match[1])
    return UPRIGHT if found is None else found


def _in_exif(block: bytes) -> int | None:
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return None
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    if start + 2 > len(block):
        return None
    (count,) = struct.unpack_from(f"{order}H", block, start)
    # As many entries as are there, however many are said to be.
    for entry in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", block, entry)
        if tag == _TAG and kind in _SIZES and values:
            (value,) = struct.unpack_from(order + _SIZES[kind], block, entry + 8)
            if UPRIGHT <= value <= 8:
                return int(value)
    return None
