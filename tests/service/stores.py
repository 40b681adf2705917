"""Connections of several replicas to one shared store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from index.shared import SharedStore
from tests.service.redis_server import RedisServer


@contextmanager
def opened_stores(server: RedisServer, name: str = "lka-reid") -> Iterator[Callable[[], SharedStore]]:
    """Opens the store of one more replica, whose keys begin with `name`; it begins empty."""
    server.client.flushall()
    with ExitStack() as opened:

        def open_it() -> SharedStore:
            store = SharedStore(server.url, name, timeout_s=5)
            opened.callback(store.close)
            return store

        yield open_it
