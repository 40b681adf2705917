"""How many frames an AVIF has for one image: it may repeat them, and a decoder goes over all."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from models.decoding.errors import ImageError

MAX_FRAMES = 16
"""Frames of an image, or of a sequence's first; an image in layers has four."""
MAX_UNITS = 100_000
"""Units in all images of a file, and images and their extents; one in tiles has three units a tile."""
_PATH = (b"trak", b"mdia", b"minf", b"stbl")
"""Where a track says where its samples lie."""
_PLACES = {b"stco": ">I", b"co64": ">Q"}
_FRAME_UNITS = frozenset({3, 6})
"""Open bitstream units that are a frame, or its header (AV1 5.3.1)."""

_Span = tuple[int, int]
"""Where bytes begin and end."""


def check_frames(data: bytes) -> None:
    """See that no image of an AVIF file has too many frames; a file that does not read is its decoder's.

    Raises:
        ImageError: see there.
    """
    left, units = 2 * len(data), 0
    for spans in _images(data):
        left -= sum(end - start for start, end in spans)
        if left < 0:
            raise ImageError("the AVIF's images have more than twice the bytes of the whole file")
        frames = 0
        for kind in _units(b"".join(data[start:end] for start, end in spans)):
            units += 1
            frames += kind in _FRAME_UNITS
            if frames > MAX_FRAMES or units > MAX_UNITS:
                raise _too_many()


def _too_many() -> ImageError:
    return ImageError(
        f"the AVIF has an image of more than {MAX_FRAMES} frames, or more than {MAX_UNITS:,} parts; "
        "save it anew"
    )


def _images(data: bytes) -> Iterator[list[_Span]]:
    """Where each image of the file lies, and the first sample of each track."""
    try:
        for name, start, end in _boxes(data, 0, len(data)):
            if name == b"meta":
                yield from _items(data, start + 4, end)
            elif name == b"moov":
                yield from _first_samples(data, [(start, end)])
    except (struct.error, IndexError):
        return


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name and content of each box (ISO/IEC 14496-12, 4.2)."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        elif size == 0:
            size = end - start
        if start + size < body:
            return
        yield name, body, min(start + size, end)
        start += size


def _items(data: bytes, start: int, end: int) -> Iterator[list[_Span]]:
    """The items of a `meta` box, by its `iloc` (14496-12, 8.11.3)."""
    found = {name: (body, stop) for name, body, stop in _boxes(data, start, end)}
    if b"iloc" not in found:
        return
    at, stop = found[b"iloc"]
    version, sizes = data[at], data[at + 4 : at + 6]
    lengths = [sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4, sizes[1] & 15 if version in (1, 2) else 0]
    at += 6

    def number(size: int) -> int:
        nonlocal at
        if at + size > stop:
            raise IndexError
        at += size
        return int.from_bytes(data[at - size : at], "big")

    parts = 0
    for _ in range(number(2 if version < 2 else 4)):
        number(2 if version < 2 else 4)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)
        base = number(lengths[2]) + (found.get(b"idat", (0, 0))[0] if method == 1 else 0)
        spans = []
        extents = number(2)
        # They may take no bytes of the list at all.
        parts += 1 + extents
        if parts > MAX_UNITS:
            raise _too_many()
        for _ in range(extents):
            number(lengths[3])
            begins = base + number(lengths[0])
            length = number(lengths[1])
            spans.append(_within(data, begins, length or len(data)))
        yield spans


def _first_samples(data: bytes, parents: list[_Span]) -> Iterator[list[_Span]]:
    """The first sample of each track, by the sizes and places of its samples (14496-12, 8.7)."""
    for wanted in _PATH:
        parents = [
            (body, stop)
            for start, end in parents
            for name, body, stop in _boxes(data, start, end)
            if name == wanted
        ]
    for start, end in parents:
        found = {name: body for name, body, _ in _boxes(data, start, end)}
        if b"stsz" not in found or not found.keys() & _PLACES.keys():
            continue
        all_of, count, first = struct.unpack_from(">III", data, found[b"stsz"] + 4)
        if count:
            at, layout = next((found[name], kind) for name, kind in _PLACES.items() if name in found)
            (begins,) = struct.unpack_from(layout, data, at + 8)
            yield [_within(data, begins, all_of or first)]


def _within(data: bytes, start: int, length: int) -> _Span:
    start = min(start, len(data))
    return start, min(start + length, len(data))


def _units(item: bytes) -> Iterator[int]:
    """The type of each open bitstream unit (AV1, 5.3)."""
    at = 0
    while at < len(item):
        header = item[at]
        yield header >> 3 & 15
        at += 2 if header & 4 else 1
        if not header & 2:
            return
        size = 0
        for place in range(8):
            if at >= len(item):
                return
            size |= (item[at] & 127) << 7 * place
            at += 1
            if item[at - 1] < 128:
                break
        at += size
