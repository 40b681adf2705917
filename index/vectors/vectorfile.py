"""A vector index as a file: a header that says what follows, then arrays, one after the other.

The first eight bytes are the length of the header, little-endian; the header is JSON: the kind, its settings,
and of each array its name, type and shape.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from index.vectors.engine import Section
from index.vectors.kind import Kind

LONGEST: Final = 1 << 20
"""Bytes of a header."""
TYPES: Final = ("<f4", "<i4", "<i8", "<u8", "|u1")

Fill = Callable[[memoryview], None]


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds."""

    kind: Kind
    settings: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def blocks_of(
    kind: str, settings: dict[str, Any], sections: Sequence[Section]
) -> Iterator[Callable[[], bytes | memoryview]]:
    """A file in pieces; each is read from the index when it is called for."""
    arrays = [{"name": each.name, "dtype": each.dtype, "shape": each.shape} for each in sections]
    header = json.dumps({"kind": kind, "settings": settings, "arrays": arrays}).encode()
    yield lambda: len(header).to_bytes(8, "little") + header
    for section in sections:
        for piece in section.pieces:
            yield partial(_bytes, piece, section.dtype)


def read(fill: Fill, size: int) -> Content:
    """A file of `size` bytes; `fill` fills a view with those that come next, and may raise.

    Raises ValueError for what `blocks_of` did not give.
    """
    length = int.from_bytes(_filled(fill, 8, size), "little")
    if length > LONGEST:
        raise ValueError(f"its header has {length:,} bytes")
    header = json.loads(_filled(fill, length, size - 8))
    if not isinstance(header, dict) or set(header) != {"kind", "settings", "arrays"}:
        raise ValueError("its header is not that of an index")
    left = size - 8 - length
    arrays: dict[str, NDArray[Any]] = {}
    for each in header["arrays"]:
        shape = tuple(int(number) for number in each["shape"])
        if each["dtype"] not in TYPES or any(number < 0 for number in shape):
            raise ValueError(f"{each['name']} is of type {each['dtype']} and shape {list(shape)}")
        needed = prod(shape) * np.dtype(each["dtype"]).itemsize
        if needed > left:
            raise ValueError("its arrays are longer than the file")
        left -= needed
        array = np.empty(shape, each["dtype"])
        if needed:
            fill(array.reshape(-1).view(np.uint8).data)
        arrays[each["name"]] = array
    if left:
        raise ValueError(f"{left:,} bytes follow its arrays")
    if header["kind"] not in get_args(Kind):
        raise ValueError("it is of no kind that is known here")
    return Content(header["kind"], header["settings"], arrays)


def _bytes(piece: Callable[[], NDArray[Any]], dtype: str) -> memoryview:
    return np.ascontiguousarray(piece(), dtype=dtype).reshape(-1).view(np.uint8).data


def _filled(fill: Fill, length: int, left: int) -> bytearray:
    if length > left:
        raise ValueError("it is too short")
    data = bytearray(length)
    fill(memoryview(data))
    return data
