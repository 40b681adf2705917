"""Image files to decode, whole ones and odd ones."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

pillow_heif.register_heif_opener()

SIZE = (48, 32)
KINDS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF", "AVIF")
"""The accepted formats, as Pillow calls them when it saves."""


def scene() -> Image.Image:
    """Smooth colours with one bright corner, so that a lossy format keeps them and a turn is seen."""
    across, down = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    colours = np.stack([40 + 2 * across, 60 + 2 * down, 120 - across], axis=-1).astype(np.uint8)
    image = Image.fromarray(colours)
    image.paste((250, 240, 230), (0, 0, 16, 12))
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    """An entry of a TIFF directory in little-endian order; `value` or its offset fills four bytes."""
    return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")


def exif(entries: Iterable[bytes], beyond: bytes = b"") -> bytes:
    """A block of EXIF; what entries point to begins at offset `8 + 2 + 12 * entries + 4`."""
    listed = list(entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(listed)) + b"".join(listed) + b"\0" * 4 + beyond


def orientation(value: int) -> bytes:
    return entry(0x0112, 3, 1, struct.pack("<H", value))


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG file with one more segment at its start."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG file with more chunks after its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def with_riff_chunk(webp: bytes, name: bytes, body: bytes) -> bytes:
    """A WebP file with one more chunk at its end."""
    chunks = webp[12:] + name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def deep_png(values: NDArray[Any], *chunks: bytes) -> bytes:
    """A PNG of 16 bits a sample, `[H, W]` or `[H, W, C]`, which Pillow cannot write."""
    if values.ndim == 2:
        values = values[..., None]
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
            *chunks,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def pixels(image: Image.Image) -> NDArray[np.int16]:
    """`[H, W, 3]`, in numbers that can be subtracted."""
    return np.asarray(image.convert("RGB")).astype(np.int16)


def far_apart(found: Image.Image, expected: Image.Image) -> float:
    """The mean difference of a channel; infinite where sizes differ."""
    if found.size != expected.size:
        return float("inf")
    return float(np.abs(pixels(found) - pixels(expected)).mean())
