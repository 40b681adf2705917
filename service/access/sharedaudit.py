"""The audit log in the store that replicas share: one chain, whichever replica writes the next entry.

A replica seals an entry to the last one that it knows of; the store takes it only where that is the last one,
and else says which is. So entries have one order, and none is lost or written twice. The oldest go once there
are more than are kept, as files of a local log are rotated out.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from index.shared import SharedStore, SharedStoreError
from service.access.auditchain import START, Chain, Link
from service.access.idhash import KEY_BYTES, IdHasher, IdKeyError

PATIENCE_S: Final = 5.0
"""s that an entry is sealed anew for, while other replicas write theirs."""
PAUSE_S: Final = 0.005
AT_ONCE: Final = 1000
"""Entries that one step of reading takes."""

APPEND: Final = """
-- KEYS entries, head; ARGV number and hash of the last entry as the writer knows it, the line, its number and
-- hash, entries that are kept
local head = redis.call('HMGET', KEYS[2], 'number', 'hash')
if (head[1] or ARGV[1]) ~= ARGV[1] or (head[2] or ARGV[2]) ~= ARGV[2] then return head end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[6], ARGV[4] .. '-0', 'line', ARGV[3])
redis.call('HSET', KEYS[2], 'number', ARGV[4], 'hash', ARGV[5])
return false
"""
"""Append the line where it follows the last one; else the last one."""


class SharedAudit:
    """See `service.access.audithome.AuditHome` and `AuditLines`. Methods raise SharedStoreError.

    Args:
        store: where it is.
        kept: entries that are kept.
        key: gives the key of the chain; None only to read.
    """

    is_remote = True

    def __init__(self, store: SharedStore, kept: int, key: Callable[[], bytes] | None = None) -> None:
        self._store = store
        self._kept = kept
        self._key = key
        self._entries, self._head = store.key("audit", "entries"), store.key("audit", "head")
        self._last = START

    @property
    def where(self) -> str:
        """Where it is, for people."""
        return "in the shared store"

    def prepare(self) -> None:
        """Nothing: the store lets nobody in without its password."""

    def check(self) -> None:
        """See that the store answers."""
        fault = self._store.fault()
        if fault is not None:
            raise SharedStoreError(fault)

    def append(self, text: str) -> None:
        """Write an entry after the last one, whichever replica wrote that."""
        assert self._key is not None  # noqa: S101 - whoever writes gives it
        chain = Chain(self._key())
        until = time.monotonic() + PATIENCE_S
        while True:
            line, link = chain.seal(text, self._last, b"")
            found = self._store.run(
                APPEND,
                [self._entries, self._head],
                *(self._last.number, self._last.hash, line, link.number, link.hash, self._kept),
            )
            if found is None:
                self._last = link
                return
            self._last = self._link(found[0], found[1])
            if time.monotonic() > until:
                raise SharedStoreError("the shared store is too busy: other replicas write the audit log")
            time.sleep(PAUSE_S * random.random())  # noqa: S311 - only so that replicas do not keep step

    def close(self) -> None:
        """Nothing: the store is closed by whoever opened it."""

    def head(self) -> Link:
        """The last entry, as noted apart from the entries."""
        with self._store.client() as client:
            number, digest = client.hmget(self._head, "number", "hash")
        return START if number is None or digest is None else self._link(number, digest)

    def _link(self, number: bytes, digest: bytes) -> Link:
        with self._store.understood("the last link of the audit log's chain"):
            return Link(int(number), digest.decode())

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """The entries, oldest first, up to the last one of this moment."""
        with self._store.client() as client:
            last = client.xrevrange(self._entries, count=1)
            after = "-"
            while last:
                found = client.xrange(self._entries, after, last[0][0], count=AT_ONCE)
                for name, fields in found:
                    number = name.decode().partition("-")[0]
                    with self._store.understood(f"entry {number} of the audit log"):
                        line = fields[b"line"]
                    yield f"entry {number} of the shared store", line
                if len(found) < AT_ONCE:
                    return
                after = f"({found[-1][0].decode()}"


class SharedIdHasher(IdHasher):
    """By one key for all replicas, which the store keeps beside the log."""

    def __init__(self, store: SharedStore) -> None:
        super().__init__()
        self._store = store
        self._name = store.key("audit", "key")

    @property
    def where(self) -> str:
        """Where the key is, for people."""
        return "the key `audit:key` of the shared store"

    def _read(self) -> bytes | None:
        with self._answering() as client:
            key: bytes | None = client.get(self._name)
        if key is not None and len(key) != KEY_BYTES:
            raise IdKeyError(f"{self.where} has {len(key)} bytes, expected {KEY_BYTES}; restore the store")
        return key

    def _make(self) -> None:
        with self._answering() as client:
            client.set(self._name, secrets.token_bytes(KEY_BYTES), nx=True)

    @contextmanager
    def _answering(self) -> Iterator[Any]:
        try:
            with self._store.client() as client:
                yield client
        except SharedStoreError as error:
            raise IdKeyError(str(error)) from None
