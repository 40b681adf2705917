"""PNG: the chunks that the pixels need."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

from PIL.PngImagePlugin import PngImageFile

from models.decoding.bounds import check_size
from models.decoding.opened import Opened, Samples
from models.decoding.orientation import read_orientation

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR, _PALETTE, _GREY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6
_RAW_PROFILE_LIMIT = 256 * 1024
"""Bytes that are inflated of a profile in a text chunk: EXIF has 64 KiB, written as twice as many digits."""


def open_png(data: bytes) -> Opened:
    """Open a PNG file; of what is not pixels, its orientation and transparent colour are read.

    Raises:
        ImageError: too many pixels.
        ValueError: its colours are those of a palette that it does not have.
    """
    kept = [_SIGNATURE]
    exif, profile, xmp = b"", b"", b""
    header, palette, transparency, significant = b"", b"", b"", b""
    for name, body, chunk in _chunks(data):
        if name == b"IHDR":
            header = header or body
        elif name == b"PLTE":
            palette = palette or body
        # A small first letter: the image can do without the chunk.
        if not name[:1].islower():
            kept.append(chunk)
        elif name == b"tRNS" and _is_whole(chunk) and not transparency:
            transparency = body
            # For more colours than there are it is none, as in libpng.
            if _has_palette(header) and 0 < len(body) <= len(palette) // 3:
                kept.append(chunk)
        elif name == b"sBIT":
            significant = body
        elif name == b"eXIf":
            exif = exif or body
        elif name in (b"zTXt", b"tEXt") and body.startswith(b"Raw profile type exif\0"):
            profile = profile or _raw_profile(name, body)
        elif name == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0"):
            xmp = xmp or body
    if len(header) >= 8:
        check_size(int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big"))
    if _has_palette(header) and len(palette) < 3:
        raise ValueError("its palette is missing")
    file = b"".join(kept)

    def open_pixels() -> PngImageFile:
        return PngImageFile(io.BytesIO(file))

    def open_bytes() -> PngImageFile:
        return PngImageFile(io.BytesIO(b"".join(map(_as_colour_of_bytes, kept))))

    samples = _samples(header, transparency, significant)
    reopen = open_bytes if header[8:10] == bytes([16, _GREY_ALPHA]) else open_pixels
    return Opened(open_pixels(), read_orientation(exif or profile, xmp), samples, reopen)


def _as_colour_of_bytes(chunk: bytes) -> bytes:
    """The header of 16-bit greys with alpha as one of 8-bit colours with alpha; other chunks as they are.

    The pixels' bytes are the same.
    """
    if chunk[4:8] != b"IHDR":
        return chunk
    checked = chunk[4:16] + bytes([8, _COLOUR_ALPHA]) + chunk[18:-4]
    return chunk[:4] + checked + zlib.crc32(checked).to_bytes(4, "big")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, content and the whole of each chunk, up to the end of the image or of the file."""
    start = len(_SIGNATURE)
    while start + 8 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        name = data[start + 4 : start + 8]
        yield name, data[start + 8 : end - 4], data[start:end]
        if name == b"IEND":
            return
        start = end


def _has_palette(header: bytes) -> bool:
    return header[9:10] == bytes([_PALETTE])


def _is_whole(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _samples(header: bytes, transparency: bytes, significant: bytes) -> Samples:
    """What the file says of its samples; a transparent colour of the wrong length is none, as in libpng."""
    if len(header) < 10:
        return Samples()
    depth, kind = header[8], header[9]
    channels = {_GREY: 1, _COLOUR: 3}.get(kind)
    key = None
    if channels is not None and len(transparency) == 2 * channels:
        key = tuple(int.from_bytes(transparency[i : i + 2], "big") for i in range(0, 2 * channels, 2))
    bits = significant[0] if depth == 16 and significant and 8 <= significant[0] < 16 else None
    return Samples(depth, bits, key=key)


def _raw_profile(name: bytes, body: bytes) -> bytes:
    """EXIF as ImageMagick keeps it in text: a name, its length, and hexadecimal digits in lines."""
    _, _, text = body.partition(b"\0")
    try:
        if name == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], _RAW_PROFILE_LIMIT)
        return bytes.fromhex("".join(text.decode("latin-1").split()[2:]))
    except (zlib.error, ValueError):
        return b""
