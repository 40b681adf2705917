"""The connections that are open: how many, whose, and which one makes room for the next.

A client can keep any number open for nothing: silent ones, heads that never end, bodies that trickle, answers
that are not read. So where there is no room for the next connection, one of the peer with most of them makes
room: the one that has waited longest for its client. One whose request is being answered is left alone.
Whoever opens many pushes out their own, and an honest request, which comes at once, gets in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Protocol

from service.access.ratelimit import address_group
from service.transport.bounds import Bounds

SWEEP_S = 0.5


class Wait(IntEnum):
    """What a connection waits for, in the order in which those that wait make room."""

    HEAD = 0
    IDLE = 1
    BODY = 2
    READER = 3


class Connection(Protocol):
    """A connection as its keeper sees it."""

    def wait(self) -> tuple[Wait, float] | None:
        """What it waits for from its client, and since when in s of the loop's clock; else None."""

    def unread(self) -> int:
        """Bytes of answers that the client has not taken."""

    def make_room(self) -> None:
        """End, for another's sake."""

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
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._peer_of)

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
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._check_all)
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
        while unread > self.bounds.unread_bytes:
            longest = self._longest(connection for connection in self._peer_of if connection.unread())
            if longest is None:
                return
            unread -= longest.unread()
            self.leave(longest)
            longest.make_room()

    def _make_room(self, among: Iterable[Connection]) -> bool:
        longest = self._longest(among)
        if longest is None:
            return False
        # It is gone only in a later turn of the loop, and in this one there may come hundreds.
        self.leave(longest)
        longest.make_room()
        return True

    def _longest(self, among: Iterable[Connection]) -> Connection | None:
        waiting = [(wait, connection) for connection in among if (wait := connection.wait())]
        return min(waiting, key=lambda pair: pair[0])[1] if waiting else None

    def _check_all(self) -> None:
        loop = asyncio.get_running_loop()
        for connection in list(self._peer_of):
            connection.check(loop.time())
        self._sweep = loop.call_later(SWEEP_S, self._check_all) if self._peer_of else None
