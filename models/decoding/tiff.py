"""TIFF: the entries of its first directory that the pixels need."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import TiffImageFile

from models.decoding.bounds import MAX_PIXELS, check_scans, check_size
from models.decoding.errors import ImageError
from models.decoding.opened import Opened, Samples

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _ROWS = 274, 277, 278
_KIND, _OTHER_IMAGES, _SAMPLE_FORMAT, _DNG_VERSION = 254, 330, 339, 50706
_SIGNED = 2
_RAW_PHOTOMETRICS = frozenset({32803, 34892})
"""A colour filter's samples, and what a converter made of them."""
_OFFSETS, _COUNTS = (273, 324), (279, 325)
"""Of strips and of tiles."""
_LARGEST, _TILE_WIDTH, _TILE_HEIGHT = 281, 322, 323
_NEEDED = frozenset(
    {*range(256, 260), 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, *range(322, 326), 332, 338, 339}
    | {340, 341, 347, *range(512, 522), *range(529, 533)}
)
"""Size, depth, colours, compression, and where the pixels lie (TIFF 6.0)."""
_JPEG_COMPRESSIONS = (6, 7)
MAX_PARTS = 150_000
"""Strips or tiles: those of the largest image in tiles of 16 x 16 px, the smallest of TIFF."""
_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
_LENGTHS = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


def open_tiff(data: bytes) -> Opened:
    """Open a TIFF file as if its first image were all it has.

    Raises:
        ImageError: too many pixels, more to read for them than the file has, or samples that are not decoded.
    """
    directory = _Directory.of(data)
    if _is_camera_raw(directory):
        raise ImageError(
            "the file is a camera raw file, whose TIFF has no more than a preview; "
            "camera raw is not decoded here, send it as JPEG"
        )
    width, height = directory.first(_WIDTH), directory.first(_HEIGHT)
    check_size(width, height)
    _check_parts(directory, width, height)
    file = directory.only(_NEEDED)

    def open_pixels() -> TiffImageFile:
        return TiffImageFile(io.BytesIO(file))

    bits, largest = directory.first(_BITS, 1), directory.first(_LARGEST)
    samples = Samples(
        depth=bits,
        significant=bits if 8 < bits < 16 else (max(8, largest.bit_length()) if largest else None),
        white_is_zero=directory.first(_PHOTOMETRIC, 1) == 0 and bits >= 16,
        signed=directory.first(_SAMPLE_FORMAT, 1) == _SIGNED,
    )
    try:
        image = open_pixels()
    except SyntaxError as error:
        if "pixel mode" not in str(error):
            raise
        raise ImageError(
            f"the TIFF has {directory.first(_SAMPLES, 1)} samples of {bits} bits a pixel, in a layout that "
            "is not decoded here; save it with 8 bits a sample"
        ) from None
    return Opened(image, directory.first(_ORIENTATION, 1), samples, open_pixels)


def _is_camera_raw(directory: _Directory) -> bool:
    """Whether the first image is a preview, or samples of a sensor, as cameras write them."""
    is_preview = bool(directory.first(_KIND) & 1) and _OTHER_IMAGES in directory.entries
    return (
        is_preview
        or directory.data[8:10] == b"CR"
        or _DNG_VERSION in directory.entries
        or directory.first(_PHOTOMETRIC) in _RAW_PHOTOMETRICS
    )


def _check_parts(directory: _Directory, width: int, height: int) -> None:
    """See that strips or tiles are of a bounded size and number, and do not go over the same bytes again.

    Raises:
        ImageError: see `open_tiff`.
    """
    tile = directory.first(_TILE_WIDTH, 1) * directory.first(_TILE_HEIGHT, 1)
    if tile > MAX_PIXELS:
        raise ImageError(f"the TIFF has tiles of {tile:,} px; at most {MAX_PIXELS:,} px are accepted")
    parts = max(len(directory.numbers(tag)) for tag in _OFFSETS)
    if parts > MAX_PARTS:
        raise ImageError(
            f"the TIFF has {parts:,} strips or tiles; at most {MAX_PARTS:,} are accepted, save it anew"
        )
    for tag in _COUNTS:
        read = int(directory.numbers(tag).sum(dtype=np.float64))
        if read > 2 * len(directory.data):
            raise ImageError(
                f"the TIFF's parts have {read:,} bytes, the whole file only {len(directory.data):,}"
            )
    if directory.first(_COMPRESSION, 1) in _JPEG_COMPRESSIONS:
        check_scans(width, height, -(-directory.data.count(b"\xff\xda") // max(1, parts)))


@dataclass(frozen=True)
class _Entry:
    """One entry: its type, the number of its values, and where they lie; `raw` is the whole entry."""

    kind: int
    count: int
    start: int
    raw: bytes


@dataclass(frozen=True)
class _Directory:
    """The first directory of a TIFF, or of a BigTIFF.

    Attributes:
        data: the file.
        order: `<` or `>`.
        big: offsets have 8 bytes.
        entries: by their tags.
    """

    data: bytes
    order: str
    big: bool
    entries: dict[int, _Entry]

    @classmethod
    def of(cls, data: bytes) -> _Directory:
        """Read it, as far as the file goes.

        Raises:
            struct.error: the file ends before the directory begins.
        """
        order, big = "<" if data.startswith(b"II") else ">", data[2:4] in (b"+\0", b"\0+")
        (start,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
        return cls(data, order, big, dict(_entries(data, order, big, start)))

    def numbers(self, tag: int) -> NDArray[np.unsignedinteger]:
        """The whole numbers of an entry, as far as the file goes; none where it is missing or has others."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _TYPES:
            return np.zeros(0, dtype=np.uint64)
        kind = np.dtype(self.order + _TYPES[entry.kind])
        there = max(0, len(self.data) - entry.start) // kind.itemsize
        return np.frombuffer(self.data, kind, min(entry.count, there), entry.start if there else 0)

    def first(self, tag: int, default: int = 0) -> int:
        """The first number of an entry."""
        numbers = self.numbers(tag)
        return int(numbers[0]) if len(numbers) else default

    def only(self, tags: frozenset[int]) -> bytes:
        """The file with a directory that has these entries alone, and no second one."""
        kept = [self.entries[tag].raw for tag in sorted(tags & self.entries.keys())]
        count, offset = ("Q", "Q") if self.big else ("H", "I")
        start = len(self.data) + len(self.data) % 2
        header = self.data[: 8 if self.big else 4] + struct.pack(self.order + offset, start)
        directory = [
            struct.pack(self.order + count, len(kept)),
            *kept,
            struct.pack(self.order + offset, 0),
        ]
        return b"".join([header, self.data[len(header) :], b"\0" * (start - len(self.data)), *directory])


def _entries(data: bytes, order: str, big: bool, start: int) -> Iterator[tuple[int, _Entry]]:
    count_kind, layout, inline = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    (count,) = struct.unpack_from(order + count_kind, data, start)
    length = struct.calcsize(order + layout) + inline
    first = start + struct.calcsize(order + count_kind)
    for at in range(first, min(first + count * length, len(data) - length + 1), length):
        tag, kind, values = struct.unpack_from(order + layout, data, at)
        place = at + length - inline
        if _LENGTHS.get(kind, 1) * values > inline:
            (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, place)
        yield tag, _Entry(kind, values, place, data[at : at + length])
