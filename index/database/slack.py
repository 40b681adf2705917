"""What SQLite leaves on the pages of a database where no row is: remnants of rows that are gone.

With `PRAGMA secure_delete` SQLite overwrites a row that is deleted. It also moves rows between pages, when
these fill up or empty, and may leave a copy behind that belongs to no row and is overwritten by nothing. Such
copies are found here, in the file itself: between a page's list of cells and its cells, in its free blocks,
and on the pages of the list of free ones. The format is SQLite's (https://sqlite.org/fileformat2.html,
sections 1.5 and 1.6). `VACUUM` writes the file anew, without them, and `REINDEX` the indexes.

Offsets of cells and heads of free blocks stay behind as well and say nothing of a row: numbers of two bytes
that are less than a page are passed over, and so are `LEAST - 1` other bytes on one page.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF = 2, 5, 10, 13
INTERIOR = (INDEX_INTERIOR, TABLE_INTERIOR)
LEAST = 9  # bytes of a remnant on one page
_HEAD = 100  # bytes of the file's own header, on page 1


@dataclass(frozen=True, slots=True)
class _Header:
    page_size: int
    usable: int
    pages: int
    free_list: int


def has_remnants(file: int, roots: Iterable[int]) -> bool:
    """Whether trees of the database open as this file descriptor hold bytes of rows that are gone.

    Nothing may change the file meanwhile, and what is in a write-ahead log is not looked at.

    Args:
        file: open for reading. Closing it would take SQLite's own locks on the file from this process.
        roots: the root pages of tables and indexes.

    Raises:
        ValueError: a page is not what it is listed as.
        OSError: it cannot be read.
    """
    return any(_of_trees(file, _header(file), list(roots)))


def has_written_free_pages(file: int) -> bool:
    """Whether a page that is free holds anything; else as `has_remnants`."""
    return any(_of_free_pages(file, _header(file)))


def _header(file: int) -> _Header:
    head = os.pread(file, _HEAD, 0)
    if len(head) < _HEAD:
        raise ValueError("the file has no header")
    (size,) = struct.unpack_from(">H", head, 16)
    size = 65536 if size == 1 else size
    pages, free_list = struct.unpack_from(">II", head, 28)
    if size < 512:
        raise ValueError(f"a page has {size} bytes")
    return _Header(size, size - head[20], pages, free_list)


def _page(file: int, header: _Header, number: int) -> bytes:
    if not 0 < number <= header.pages:
        raise ValueError(f"there is no page {number}")
    page = os.pread(file, header.page_size, (number - 1) * header.page_size)
    if len(page) < header.page_size:
        raise ValueError(f"page {number} is cut off")
    return page


def _of_trees(file: int, header: _Header, roots: list[int]) -> Iterator[bool]:
    """For each page of the trees under these roots, whether it has remnants."""
    waiting, seen = list(dict.fromkeys(roots)), 0
    while waiting:
        number = waiting.pop()
        seen += 1
        if seen > header.pages:
            raise ValueError("pages are listed twice")
        page = _page(file, header, number)
        at = _HEAD if number == 1 else 0
        kind, free_block, cells, start = struct.unpack_from(">BHHH", page, at)
        if kind not in (*INTERIOR, INDEX_LEAF, TABLE_LEAF):
            raise ValueError(f"page {number} is of no tree")
        listed = at + (12 if kind in INTERIOR else 8)
        end = listed + 2 * cells
        yield _is_written(page, end, start or 65536) or _has_written_block(page, free_block, header.usable)
        if kind in INTERIOR:
            (rightmost,) = struct.unpack_from(">I", page, at + 8)
            offsets = struct.unpack_from(f">{cells}H", page, listed)
            waiting += [rightmost, *(struct.unpack_from(">I", page, offset)[0] for offset in offsets)]


def _of_free_pages(file: int, header: _Header) -> Iterator[bool]:
    """For each page of the free list, but those that list the others, whether something is on it."""
    trunk, seen = header.free_list, 0
    while trunk:
        seen += 1
        if seen > header.pages:
            raise ValueError("free pages are listed twice")
        page = _page(file, header, trunk)
        trunk, count = struct.unpack_from(">II", page, 0)
        if count > header.usable // 4 - 2:
            raise ValueError("a list of free pages is too long")
        for number in struct.unpack_from(f">{count}I", page, 8):
            yield _is_written(_page(file, header, number), 0, header.page_size)


def _has_written_block(page: bytes, block: int, usable: int) -> bool:
    """Whether a free block of a page holds more than its own head of 4 bytes."""
    while block:
        if block + 4 > usable:
            raise ValueError("a free block is beyond its page")
        following, size = struct.unpack_from(">HH", page, block)
        if _is_written(page, block + 4, block + size):
            return True
        if following and following <= block:
            raise ValueError("free blocks are out of order")
        block = following
    return False


def _is_written(page: bytes, start: int, end: int) -> bool:
    """Whether more than numbers of SQLite's own is between two places of a page."""
    end = min(end, len(page))
    if page.count(0, start, end) == end - start:
        return False
    while start + 1 < end and (page[start] << 8 | page[start + 1]) < len(page):
        start += 2
    return end - start - page.count(0, start, end) >= LEAST
