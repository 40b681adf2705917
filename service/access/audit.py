"""The audit log: who did what, when, and how it ended; a JSON line each, in files that rotate.

It is the one log that names keys' holders, client addresses and, by their hashes, images. What cannot be
written there is not done: a line that fails turns its request's answer into an error, and until a line can
be written again nothing that would need one is begun. A line is with the operating system when the answer
goes out: it survives the process, and a power cut may take the last ones.
"""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, NoReturn

from service.access.idhash import IdHasher, IdKeyError
from service.access.key import ApiKey
from service.access.privatefile import open_private

MAX_MATCHES = 10
MAX_CLIENT = 64
MAX_PENDING = 1000


class AuditError(Exception):
    """The audit log cannot be written; the message names it."""


@dataclass
class AuditEntry:
    """What is written of a request: the guard begins it, a route adds what it alone knows.

    Attributes:
        action: what was asked for.
        client: address of whoever asked.
        request_id: as in the answer and in the ordinary log.
        key: whose it is; None where no key is needed.
        image_id: the image that was enrolled, looked at, explained or deleted.
        matches: image ids that a query was answered with, best first.
    """

    action: str
    client: str
    request_id: str
    key: ApiKey | None = None
    image_id: str | None = None
    matches: tuple[str, ...] = ()

    def line(self, status: int) -> dict[str, Any]:
        """The entry with the status code it ended with."""
        line: dict[str, Any] = {
            "request_id": self.request_id,
            "action": self.action,
            "key_id": self.key.id if self.key else None,
            "key_name": self.key.name if self.key else "anonymous",
            "client": self.client[:MAX_CLIENT],
            "status": status,
        }
        if self.image_id is not None:
            line["image_id"] = self.image_id
        if self.matches:
            line["matches"] = list(self.matches[:MAX_MATCHES])
        return line


@dataclass(frozen=True)
class KeyChange:
    """What is written of a change to a key, which is made on the command line of the machine itself."""

    action: str
    key: ApiKey

    def line(self) -> dict[str, Any]:
        """The change, who made it, and to which key."""
        return {
            "action": self.action,
            "client": f"command line, uid {os.getuid()}",
            "changed_key_id": self.key.id,
            "changed_key_name": self.key.name,
            "scopes": list(self.key.scopes),
        }


class AuditLog:
    """Appends to one file and rotates it: `audit.jsonl`, then `audit.jsonl.1`, the older ones after it.

    One process rotates a file: each service needs its own. A process that appends a line now and then, such
    as `lka-reid keys`, leaves rotation alone.

    Args:
        path: of the newest file.
        max_bytes: that it may have before it is rotated; 0 never rotates.
        backups: how many older ones are kept.
        ids: hashes the image ids.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int, ids: IdHasher) -> None:
        self.path = path
        self._ids = ids
        self._file = _LoudFile(path, max_bytes, backups)
        self._pending: list[str] = []

    def prepare(self) -> None:
        """Before the first request: make or read the key for image ids, and `check`.

        Raises:
            AuditError: the key cannot be used, or the file not be written.
        """
        try:
            self._ids.load()
        except IdKeyError as error:
            raise AuditError(f"the audit log's key for image ids cannot be used: {error}") from None
        self.check()

    def check(self) -> None:
        """Write what could not be written before, and see that the file can be.

        Raises:
            AuditError: it cannot.
        """
        try:
            self._file.check()
            while self._pending:
                self._file.append(self._pending[0])
                del self._pending[0]
        except OSError as error:
            raise self._fault(error) from None

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line, with the time, and hashes in place of image ids.

        A line that fails is kept and written by the next `check`.

        Raises:
            AuditError: it cannot be written now.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps({"time": now, **self._without_ids(line)}, ensure_ascii=False)
        try:
            self._file.append(text)
        except OSError as error:
            # As many as were under way when the disk filled up: nothing is begun after that.
            if len(self._pending) < MAX_PENDING:
                self._pending.append(text)
            raise self._fault(error) from None

    def close(self) -> None:
        """Close the file; a line written later opens it again."""
        self._file.close_stream()

    def _without_ids(self, line: Mapping[str, Any]) -> dict[str, Any]:
        hashed = dict(line)
        try:
            if "image_id" in hashed:
                hashed["image_hash"] = self._ids.digest(hashed.pop("image_id"))
            if "matches" in hashed:
                hashed["match_hashes"] = [self._ids.digest(match) for match in hashed.pop("matches")]
        except IdKeyError as error:
            raise AuditError(f"the audit log's key for image ids cannot be used: {error}") from None
        return hashed

    def _fault(self, error: OSError) -> AuditError:
        return AuditError(f"the audit log {self.path} cannot be written: {error.strerror or error}")


class _LoudFile(RotatingFileHandler):
    """The standard library's rotating file, for lines of our own, whose errors are raised and not printed."""

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", delay=True)

    def append(self, text: str) -> None:
        """Write a line to the file. Raises OSError."""
        self.handle(logging.makeLogRecord({"msg": text}))

    def check(self) -> None:
        """Open the file, where it is not, or is no longer at its path. Raises OSError."""
        if self.stream is not None and not self._is_in_place(self.stream.fileno()):
            self.close_stream()
        if self.stream is None:
            self.stream = self._open()

    def close_stream(self) -> None:
        """Close the file, so that the next line opens it anew."""
        stream, self.stream = self.stream, None
        if stream is not None:
            # What a full disk left in the buffer is tried once more by this, and is pending anyway.
            with suppress(OSError):
                stream.close()

    def handleError(self, record: logging.LogRecord) -> NoReturn:  # noqa: ARG002, N802
        """Called while the error is handled: raise it."""
        self.close_stream()
        raise

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(Path(self.baseFilename).stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _open(self) -> io.TextIOWrapper:
        path = Path(self.baseFilename)
        descriptor = open_private(path, os.O_RDWR | os.O_APPEND)
        if _ends_within_a_line(descriptor):
            os.write(descriptor, b"\n")
        return io.TextIOWrapper(os.fdopen(descriptor, "ab"), encoding="utf-8")


def _ends_within_a_line(descriptor: int) -> bool:
    with suppress(OSError):  # not a plain file: /dev/null, a pipe
        size = os.fstat(descriptor).st_size
        return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    return False
