"""Reads the whole audit log and says where its chain is broken, if it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from service.access.auditchain import START, Chain, ChainedEntry, Link
from service.access.auditfile import locked, read_head
from service.access.auditfind import files_of
from service.access.audithome import AuditLines


@dataclass
class Verification:
    """What was found.

    Attributes:
        entries: that are whole and chained to the one before.
        first: number of the first one; those before it were rotated out or removed. 0 where there is none.
        unchained: lines before it that earlier versions wrote, which nothing vouches for.
        torn: what a crash or a power cut left of a line, and the next entry vouches for.
        unfinished: a last line without its end, as a crash leaves it.
        last: number and hash of the last entry.
        fault: what is wrong first, with its place; None where nothing is.
        noted: whether the hash that was asked for is an entry's.
    """

    entries: int = 0
    first: int = 0
    unchained: int = 0
    torn: list[str] = field(default_factory=list)
    unfinished: str | None = None
    last: Link = START
    fault: str | None = None
    noted: bool = False


def verify(path: Path, chain: Chain, noted: str | None = None) -> Verification:
    """Read the log's files, oldest first, until the first fault.

    Args:
        path: of the newest file.
        chain: reads its entries.
        noted: the hash of an entry, as an earlier verification printed it.

    Raises:
        OSError: a file cannot be read.
    """
    with ExitStack() as opened:
        with locked(path):
            files = [(file, opened.enter_context(file.open("rb"))) for file in files_of(path)]
            sizes = [os.fstat(stream.fileno()).st_size for _, stream in files]
            head = read_head(path)
        lines = (
            (f"{file}, line {number:,}", line)
            for (file, stream), size in zip(files, sizes, strict=True)
            for number, line in enumerate(_lines(stream, size), 1)
        )
        found = _read(head, lines, chain, noted)
    if found.first > START.number + 1 and len(files) == 1:
        # Whatever was rotated out has left older files.
        found.fault = found.fault or (
            f"{_entries(START.number + 1, found.first - 1)} before {path}, line 1, which is entry "
            f"{found.first:,}; no older file is there, so that none was rotated out"
        )
    return found


def verify_lines(log: AuditLines, chain: Chain, noted: str | None = None) -> Verification:
    """Read a log that is in no files; see `verify`. Raises what its `lines` do."""
    return _read(log.head(), log.lines(), chain, noted)


def _read(head: Link, lines: Iterable[tuple[str, bytes]], chain: Chain, noted: str | None) -> Verification:
    """Read lines, each after its place, until the first fault; `head` was noted before they were read."""
    reading = _Reading(chain, noted)
    for place, line in lines:
        reading.take(line, place)
        if reading.found.fault is not None:
            return reading.found
    reading.end(head)
    return reading.found


def _lines(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The lines of a file's first so many bytes, each with its end where it has one."""
    while size > 0 and (line := stream.readline(size)):
        size -= len(line)
        yield line


class _Reading:
    """The lines so far."""

    def __init__(self, chain: Chain, noted: str | None) -> None:
        self.found = Verification()
        self._chain = chain
        self._noted = noted
        self._between: list[tuple[bytes, str]] = []
        self._last_place: str | None = None

    def take(self, line: bytes, place: str) -> None:
        entry = self._chain.read(line.removesuffix(b"\n"))
        # A line without its end is a crash's, were it otherwise whole: whoever appends next takes it so.
        if entry is None or (not line.endswith(b"\n") and not entry.is_genuine):
            self._between.append((line, place))
            return
        found = self.found
        found.fault = self._fault(entry, place)
        if found.fault is not None:
            return
        if not found.entries:
            found.first = entry.link.number
        if entry.torn is None:
            found.unchained += len(self._between)
        else:
            found.torn += [torn for _, torn in self._between]
        found.entries += 1
        found.last = entry.link
        found.noted = found.noted or entry.link.hash == self._noted
        self._between = []
        self._last_place = place

    def end(self, head: Link) -> None:
        """After the last line: what follows the last entry, and whether that was the last one written."""
        found = self.found
        if self._between and not self._between[-1][0].endswith(b"\n"):
            found.unfinished = self._between.pop()[1]
        if self._between and found.entries:
            found.fault = f"{self._between[0][1]}: no entry of the chain, and no later entry vouches for it"
            return
        found.unchained += len(self._between)
        missing = head.number - found.last.number
        if missing > 0:
            after = f" after {self._last_place}" if self._last_place else ""
            found.fault = (
                f"{_entries(found.last.number + 1, head.number)} at the end of the log{after}: "
                f"the log once ended with entry {head.number:,}; a power cut may take the last lines"
            )

    def _fault(self, entry: ChainedEntry, place: str) -> str | None:
        found, last = self.found, self.found.last
        number = entry.link.number
        if not entry.is_genuine:
            return f"{place}: entry {number:,} is not what was written, or was written under another key"
        between = b"".join(line for line, _ in self._between)
        begins = not found.entries and number == START.number + 1
        vouched = entry.torn is not None and entry.torn == self._chain.digest(between)
        # What a first entry tells of was rotated out with the files before it.
        out_of_sight = not found.entries and not between
        if between and not begins and not vouched:
            return f"{self._between[0][1]}: no entry of the chain, and entry {number:,} does not vouch for it"
        if not between and entry.torn is not None and not out_of_sight:
            return f"{place}: the torn line that entry {number:,} tells of is missing before it"
        if not found.entries:
            return None
        if number <= last.number:
            return (
                f"{place}: entry {number:,} comes after entry {last.number:,}: lines were moved or repeated"
            )
        if number > last.number + 1:
            return f"{_entries(last.number + 1, number - 1)} before {place}, which is entry {number:,}"
        if entry.previous != last.hash:
            return f"{place}: entry {number:,} does not follow the entry {last.number:,} that is before it"
        return None


def _entries(first: int, last: int) -> str:
    return f"entry {first:,} is missing" if first == last else f"entries {first:,} to {last:,} are missing"
