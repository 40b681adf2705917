"""The connections that are open: how many, whose, and which ones make room for the next.

A client can keep any number open for nothing: silent ones, heads that never end, bodies that trickle, answers
that are not read. So where there is no room for the next connection, some of the peer with most of them make
room: those that have waited longest for their client. One whose request is being answered is left alone.
Whoever opens many pushes out their own, and an honest request, which comes at once, gets in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from typing import Protocol

from service.access.ratelimit import address_group
from service.transport.bounds import Bounds

SWEEP_S = 0.5


PORTION = 32
"""Of so many connections of a peer one makes room: of hundreds, several at once."""


class Wait(Enum):
    """What a connection waits for."""

    HEAD = auto()
    IDLE = auto()
    BODY = auto()
    READER = auto()


class Connection(Protocol):
    """A connection as its keeper sees it."""

    def wait(self) -> tuple[Wait, float] | None:
        """What it waits for from its client, and since when (`Connections.now`); None where for nothing."""

    def unread(self) -> int:
        """Bytes of answers that the client has not taken."""

    def make_room(self) -> None:
        """End to make room for another connection."""

    def check(self, now: float) -> None:
        """End if one of its bounds is passed."""


class Connections:
    """Admits connections, and sees that their bounds are kept; of one event loop.

    Args:
        bounds: of all.
        is_proxy: whether an address is a trusted proxy's, which brings many clients: its connections have no
            bound of their own.
    """

    def __init__(self, bounds: Bounds, is_proxy: Callable[[str], bool] = lambda _address: False) -> None:
        self.bounds = bounds
        self._is_proxy = is_proxy
        self._peer_of: dict[Connection, str] = {}
        self._of_peer: dict[str, dict[Connection, None]] = {}
        # Those that have not been read from: accepted in this turn of the loop, and in the one before.
        self._fresh: set[Connection] = set()
        self._settling: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._held_up = 0.0

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._peer_of)

    def now(self) -> float:
        """s by which a client's slowness is measured: those in which the loop was held up are left out.

        What came meanwhile lies unread, and is no fault of whoever sent it.
        """
        return asyncio.get_running_loop().time() - self._held_up

    def admit(self, connection: Connection, address: str) -> bool:
        """Count a new connection; False where there is no room for it, and none can be made."""
        peer = address_group(address)
        own = self._of_peer.get(peer, {})
        if len(own) >= self.bounds.per_peer and not self._is_proxy(address):
            if not self._make_room(own):
                return False
        elif len(self) >= self.bounds.connections:
            most_first = sorted(self._of_peer.values(), key=len, reverse=True)
            if not any(self._make_room(each) for each in most_first):
                return False
        self._peer_of[connection] = peer
        self._of_peer.setdefault(peer, {})[connection] = None
        if not self._fresh and not self._settling:
            asyncio.get_running_loop().call_soon(self._settle)
        self._fresh.add(connection)
        if self._sweep is None:
            self._sweep_later()
        return True

    def leave(self, connection: Connection) -> None:
        """A connection is no more; a second time changes nothing."""
        peer = self._peer_of.pop(connection, None)
        if peer is not None:
            del self._of_peer[peer][connection]
            if not self._of_peer[peer]:
                del self._of_peer[peer]

    def check_unread(self) -> None:
        """See that answers that are not read do not fill memory: those that have waited longest make room."""
        unread = sum(connection.unread() for connection in self._peer_of)
        for connection in self._longest_first(self._peer_of):
            if unread <= self.bounds.unread_bytes:
                return
            if connection.unread():
                unread -= connection.unread()
                self._end(connection)

    def _make_room(self, own: Collection[Connection]) -> bool:
        longest = self._longest_first(own)[: max(1, len(own) // PORTION)]
        for connection in longest:
            self._end(connection)
        return bool(longest)

    def _end(self, connection: Connection) -> None:
        # It is gone only in a later turn of the loop, and in this one there may come hundreds.
        self.leave(connection)
        connection.make_room()

    def _longest_first(self, among: Iterable[Connection]) -> list[Connection]:
        young = self._fresh | self._settling
        waiting = [(wait[1], it) for it in among if it not in young and (wait := it.wait())]
        return [connection for _, connection in sorted(waiting, key=lambda pair: pair[0])]

    def _settle(self) -> None:
        """A turn of the loop begins: what was accepted before the last one has been read from since."""
        self._fresh, self._settling = set(), self._fresh
        if self._settling:
            asyncio.get_running_loop().call_soon(self._settle)

    def _check_all(self) -> None:
        self._held_up += max(0.0, asyncio.get_running_loop().time() - self._due)
        now = self.now()
        for connection in list(self._peer_of):
            connection.check(now)
        self._sweep = None
        if self._peer_of:
            self._sweep_later()

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + SWEEP_S
        self._sweep = loop.call_at(self._due, self._check_all)
