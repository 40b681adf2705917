"""The audit log: who did what, when, and how it ended; a JSON line each, chained, in files that rotate.

It is the one log that names keys' holders, client addresses and, by their hashes, images. What cannot be
written there is not done: a line that fails turns its request's answer into an error, and until a line can
be written again nothing that would need one is begun. A line is with the operating system when the answer
goes out: it survives the process, and a power cut may take the last ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from anyio import CancelScope, CapacityLimiter, to_thread

from index.shared import SharedStoreError
from service.access.audithome import AuditHome
from service.access.auditquota import Quota
from service.access.idhash import IdHasher, IdKeyError
from service.access.key import ApiKey

MAX_MATCHES = 10
MAX_CLIENT = 64
MAX_PENDING = 1000

log = structlog.get_logger(__name__)


class AuditError(Exception):
    """The audit log cannot be written; the message names it."""


@dataclass(frozen=True)
class ItemEntry:
    """What is written of one image of a batch: as of a request that would have brought it alone."""

    action: str
    status: int
    image_id: str | None = None
    matches: tuple[str, ...] = ()


@dataclass
class AuditEntry:
    """What is written of a request: the guard begins it, a route adds what it alone knows.

    Attributes:
        action: what was asked for.
        client: address of whoever asked.
        request_id: as in the answer and in the ordinary log.
        key: whose it is; None where no key is needed.
        image_id: the image that was enrolled, looked at, explained, changed or deleted.
        matches: image ids that a query was answered with, best first.
        items: of a batch; each has a line of its own behind the request's.
        deleted: how many images a filter deleted; their ids are not written.
        collection: that it was about, where it named one.
    """

    action: str
    client: str
    request_id: str
    key: ApiKey | None = None
    image_id: str | None = None
    matches: tuple[str, ...] = ()
    items: list[ItemEntry] = field(default_factory=list)
    deleted: int | None = None
    collection: str | None = None

    def lines(self, status: int) -> Iterator[dict[str, Any]]:
        """The entry with the status code it ended with, and where it was answered, those of its items."""
        line = self._line(self.action, status, self.image_id, self.matches)
        if self.items:
            line["images"] = len(self.items)
        if self.deleted is not None:
            line["deleted"] = self.deleted
        yield line
        if status < 400:
            for item in self.items:
                yield self._line(item.action, item.status, item.image_id, item.matches)

    def _line(
        self, action: str, status: int, image_id: str | None, matches: tuple[str, ...]
    ) -> dict[str, Any]:
        line: dict[str, Any] = {
            "request_id": self.request_id,
            "action": action,
            "key_id": self.key.id if self.key else None,
            "key_name": self.key.name if self.key else "anonymous",
            "client": self.client[:MAX_CLIENT],
            "status": status,
        }
        if self.collection is not None:
            line["collection"] = self.collection
        if image_id is not None:
            line["image_id"] = image_id
        if matches:
            line["matches"] = list(matches[:MAX_MATCHES])
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
            **({} if self.key.collections is None else {"collections": list(self.key.collections)}),
        }


class AuditLog:
    """Writes lines to their home, a file or the store that replicas share.

    Several processes may write to one home, such as a service and `lka-reid keys`.

    Args:
        home: where the lines go.
        ids: hashes the image ids.
        per_minute: entries of one key, action and status that are written in a minute; 0 for all.
    """

    def __init__(self, home: AuditHome, ids: IdHasher, per_minute: int = 0) -> None:
        self._home = home
        self._ids = ids
        self._quota = Quota(per_minute)
        self._one_at_a_time = CapacityLimiter(1)
        self._pending: list[str] = []

    async def take(self, step: Callable[..., None], *given: Any) -> None:
        """Do one of its methods; in a thread, one at a time, where lines go over a network.

        Raises:
            AuditError: as the method.
        """
        if not self._home.is_remote:
            step(*given)
            return
        # Also for a request that was cancelled: what was done is written down.
        with CancelScope(shield=True):
            await to_thread.run_sync(step, *given, limiter=self._one_at_a_time)

    def prepare(self) -> None:
        """Before the first request: make or read the key for image ids, and `check`.

        Raises:
            AuditError: the key cannot be used, or the file not be written.
        """
        with self._errors_named():
            self._ids.load()
            self._home.prepare()
        self.check()

    def check(self) -> None:
        """Write what could not be written before, and see that the file can be.

        Raises:
            AuditError: it cannot.
        """
        with self._errors_named():
            self._home.check()
            while self._pending:
                self._home.append(self._pending[0])
                del self._pending[0]

    def record(self, entry: AuditEntry, status: int) -> None:
        """Append a request's lines, or count those of which its key has had its quota in this minute.

        Raises:
            AuditError: as `write`; each of the lines is kept then.
        """
        self._write_each(line for line in entry.lines(status) if self._quota.admits(line))

    def summarise(self, *, early: bool = False) -> None:
        """Append a summary of what was only counted in the minutes that have ended, or until now.

        Raises:
            AuditError: as `write`.
        """
        self._write_each(self._quota.summaries(early=early))

    def _write_each(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write all lines, whatever becomes of the others. Raises AuditError, the last one."""
        failure = None
        for line in lines:
            try:
                self.write(line)
            except AuditError as error:
                failure = error
        if failure is not None:
            raise failure

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line, with the time, and hashes in place of image ids.

        A line that fails is kept and written by the next `check`.

        Raises:
            AuditError: it cannot be written now.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._errors_named():
            text = json.dumps({"time": now, **self._without_ids(line)}, ensure_ascii=False)
            try:
                self._home.append(text)
            except (OSError, SharedStoreError):
                # As many as were under way when the disk filled up: nothing is begun after that.
                if len(self._pending) < MAX_PENDING:
                    self._pending.append(text)
                raise

    def close(self) -> None:
        """Write what was counted and close the file; a line written later opens it again."""
        try:
            self.summarise(early=True)
        except AuditError as error:
            log.error("audit_summary_lost", reason=str(error))
        self._home.close()

    def _without_ids(self, line: Mapping[str, Any]) -> dict[str, Any]:
        hashed = dict(line)
        if "image_id" in hashed:
            hashed["image_hash"] = self._ids.digest(hashed.pop("image_id"))
        if "matches" in hashed:
            hashed["match_hashes"] = [self._ids.digest(match) for match in hashed.pop("matches")]
        return hashed

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except IdKeyError as error:
            raise AuditError(f"the audit log's key for image ids cannot be used: {error}") from None
        except OSError as error:
            raise AuditError(
                f"the audit log {self._home.where} cannot be written: {error.strerror or error}"
            ) from None
        except SharedStoreError as error:
            raise AuditError(f"the audit log {self._home.where} cannot be written: {error}") from None
