"""A replica that is killed at any moment takes no alert and no delivery with it, and none comes twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from index import Enrollment, Record
from index.shared import SharedStore, alerts, owed
from index.shared import watches as shared_watches
from tests.index.samples import enrollment
from tests.index.watch_samples import Replica, Rows, of_file, raise_all, record_of
from tests.service.redis_server import PATIENCE_S, RedisServer

KILLS = 4


class StoredRows(Rows):
    """Rows that outlive a process: ids by their numbers, in Redis."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self._key = store.key("rows-of-a-test")

    @property
    def kept(self) -> dict[int, tuple[Enrollment, Record]]:  # type: ignore[override]
        """All rows."""
        with self._store.client() as client:
            found = {
                int(number): enrollment(name.decode()) for number, name in client.hgetall(self._key).items()
            }
        return {number: (one, record_of(one)) for number, one in found.items()}

    def put(self, number: int, one: Enrollment) -> None:
        """Write a row."""
        with self._store.client() as client:
            client.hset(self._key, str(number), one.image_id)

    def count(self) -> int:
        """How many there are."""
        with self._store.client() as client:
            return int(client.hlen(self._key))


def look_and_deliver(replica: Replica, watch_id: int) -> None:
    """What a service does beside its requests, once."""
    raise_all(replica.watches, watch_id)
    its = replica.watches.alerts
    for alert in its.due(datetime.now(UTC), 16):
        if its.take(alert.id) is not None:
            its.delivered(alert.id)


def live(url: str, life: int, watch_id: int) -> None:
    """Enroll, look and deliver until the process is killed."""
    store = SharedStore(url, "test", timeout_s=5)
    replica = Replica(store, StoredRows(store))
    for number in range(10_000):
        replica.enroll(enrollment(f"{life}-{number}"))
        look_and_deliver(replica, watch_id)


@pytest.mark.slow
def test_every_row_raises_one_alert_which_is_delivered_over_kills(
    server: RedisServer, connect: Callable[[], SharedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((owed, "LOOKED_AT_S"), (owed, "SETTLED_S"), (alerts, "TAKEN_S")):
        monkeypatch.setattr(module, name, 0.01)
    store = connect()
    rows = StoredRows(store)
    replica = Replica(store, rows)
    watch_id = replica.watches.add(of_file()).id
    seeded = random.Random(0)
    for life in range(KILLS):
        enough = rows.count() + seeded.randrange(3, 9)
        with ExitStack() as stack:
            if (child := os.fork()) == 0:
                try:
                    live(server.url, life, watch_id)
                finally:
                    os._exit(1)  # never on into the tests of the parent
            stack.callback(os.waitpid, child, 0)
            stack.callback(os.kill, child, signal.SIGKILL)
            until = time.monotonic() + PATIENCE_S
            while rows.count() < enough:
                assert time.monotonic() < until, "the child enrolls nothing"
            time.sleep(seeded.random() / 200)  # into some step of what goes on
    monkeypatch.setattr(shared_watches, "FORGOTTEN_S", -1.0)  # of numbers without a row none comes any more
    until = time.monotonic() + PATIENCE_S
    with store.client() as client:
        while client.exists(store.key("collection", "c1", "watch", "owed")):
            assert time.monotonic() < until, "something is owed for ever"
            look_and_deliver(replica, watch_id)
    while replica.watches.alerts.next_due() is not None:
        assert time.monotonic() < until, "a delivery is due for ever"
        look_and_deliver(replica, watch_id)
    enrolled = sorted(one.image_id for one, _ in rows.kept.values())
    found = replica.watches.alerts.page(limit=1000).alerts
    assert len(enrolled) >= 3 * KILLS
    assert sorted(alert.record.image_id for alert in found) == enrolled
    assert [alert.id for alert in found] == list(range(len(enrolled), 0, -1))
    assert {(alert.delivery, alert.attempts) for alert in found} == {("delivered", 1)}
