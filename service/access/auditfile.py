"""The audit log's file: appended to by several processes, one at a time, and rotated.

Beside `audit.jsonl` lie `audit.jsonl.lock`, held while a line is appended, and `audit.jsonl.head`, the number
and hash of the last entry, by which a log that was cut short is known.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from service.access.auditchain import START, Chain, Link
from service.access.auditfind import files_of
from service.access.privatefile import open_private, tighten_private

LOCK_S = 2.0
"""s that another process may hold the lock, which it does for the time of a line."""
TAIL = 1024 * 1024
"""Bytes at the end of the file in which the last entry is looked for."""


class AuditFile:
    """Appends entries to the newest file. Every method raises OSError where the disk or the lock fails.

    What is no plain file, such as /dev/null, gets the lines and no chain.

    Args:
        path: of the newest file.
        max_bytes: that it may have before it is rotated; 0 never rotates.
        backups: how many older ones are kept.
        key: gives the key of the chain.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int, key: Callable[[], bytes]) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._key = key
        self._descriptor: int | None = None
        self._last = START
        self._seen: tuple[int, int] | None = None

    is_remote = False

    @property
    def where(self) -> str:
        """Where it is, for people."""
        return str(self.path)

    def prepare(self) -> None:
        """Take others' permissions from what is there."""
        for file in files_of(self.path):
            tighten_private(file)

    def check(self) -> None:
        """Open the file, where it is not, or is no longer at its path."""
        self._open()

    def append(self, text: str) -> None:
        """Write an entry, a JSON object."""
        if not stat.S_ISREG(os.fstat(self._open()).st_mode):
            _write(self._open(), text.encode("utf-8", "surrogatepass") + b"\n")
            return
        with locked(self.path):
            self._append(text, Chain(self._key()))

    def close(self) -> None:
        """Close the file, so that the next line opens it anew."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _append(self, text: str, chain: Chain) -> None:
        descriptor = self._open()
        found = os.fstat(descriptor)
        torn = b""
        if (found.st_ino, found.st_size) != self._seen:
            torn = self._catch_up(descriptor, chain)
        line, link = chain.seal(text, self._last, torn)
        size = os.fstat(descriptor).st_size
        if self._max_bytes and size and size + len(line) > self._max_bytes:
            self._rotate()
            descriptor, size = self._open(), 0
        try:
            _write(descriptor, line)
        except BaseException:
            # What was written of it is no crash's trace.
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            self._seen = None
            self.close()
            raise
        self._last = link
        self._seen = os.fstat(descriptor).st_ino, size + len(line)
        with suppress(OSError):  # the next entry, or the next process, writes it
            _write_head(self.path, link)

    def _catch_up(self, descriptor: int, chain: Chain) -> bytes:
        """Find the last entry, whoever wrote it; what a crash left after it."""
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            _write(descriptor, b"\n")
        last, torn = _last_entry(self.path, chain)
        # Where entries are gone from the end, the gap in the numbers shows it for ever.
        self._last = max(last, self._last, read_head(self.path), key=lambda link: link.number)
        return torn

    def _rotate(self) -> None:
        self.close()
        for number in range(self._backups, 0, -1):
            newer = self.path if number == 1 else numbered(self.path, number - 1)
            with suppress(FileNotFoundError):
                newer.replace(numbered(self.path, number))

    def _open(self) -> int:
        if self._descriptor is not None and not _is_at(self.path, self._descriptor):
            self.close()
        if self._descriptor is None:
            self._descriptor = open_private(self.path, os.O_RDWR | os.O_APPEND)
        return self._descriptor


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let no other process append to the log, or rotate it, meanwhile. Raises OSError."""
    lock = path.with_name(f"{path.name}.lock")
    os.close(open_private(lock, os.O_RDWR))
    try:
        with FileLock(lock, timeout=LOCK_S, poll_interval=0.002, fallback_to_soft=False):
            yield
    except Timeout:
        raise OSError(f"another process has held {lock.name} for more than {LOCK_S:g} s") from None


def numbered(path: Path, number: int) -> Path:
    """An older file of the log; 1 is the newest of them."""
    return path.with_name(f"{path.name}.{number}")


def read_head(path: Path) -> Link:
    """The last entry that was written, as noted beside the log; START where nothing is."""
    try:
        number, digest = _head(path).read_text(encoding="ascii").split()
        return Link(int(number), digest)
    except (FileNotFoundError, ValueError):
        return START


def _write_head(path: Path, link: Link) -> None:
    descriptor = open_private(_head(path), os.O_WRONLY)
    try:
        # Of one length, so that it is replaced in place, on a full disk too.
        os.pwrite(descriptor, f"{link.number:020} {link.hash}\n".encode(), 0)
    finally:
        os.close(descriptor)


def _head(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _last_entry(path: Path, chain: Chain) -> tuple[Link, bytes]:
    """The last entry in the files, and what follows it; START where there is none, or one of no chain."""
    for file in reversed(list(files_of(path))):
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - TAIL))
            lines = opened.read().split(b"\n")
        for place in range(len(lines) - 1, -1, -1):
            entry = chain.read(lines[place])
            if entry is not None:
                return entry.link, b"\n".join(lines[place + 1 :])
        if size:
            break
    return START, b""


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
