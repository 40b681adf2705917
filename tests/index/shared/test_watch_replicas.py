"""Replicas that share watches: one alert an image, one delivery at a time, nothing lost with one of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest

from index import (
    DamagedImageError,
    NewWatch,
    Raised,
    Sightings,
    UnknownImageError,
    digest_of,
)
from index.shared import SharedStore, SharedWatches, alerts, owed, watchrows
from index.shared import watches as shared_watches
from tests.index.samples import enrollment
from tests.index.watch_samples import FILE, HEADER, Replica, Rows, of_file, raise_all, seen


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def replicas(connect: Callable[[], SharedStore], rows: Rows) -> tuple[Replica, Replica]:
    return Replica(connect(), rows), Replica(connect(), rows)


def found_by(replica: Replica) -> Sightings:
    found = replica.watches.unchecked(100)
    assert found is not None
    return found


def test_a_watch_that_one_makes_or_removes_is_so_for_all(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    watch = one.watches.add(of_file())
    assert other.watches.all() == [watch]
    other.watches.remove(watch.id)
    assert one.watches.all() == []
    assert one.watches.watched() == []
    assert other.watches.add(of_file()).id == watch.id + 1


def test_what_one_looks_at_no_other_does_at_that_time(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    watch = one.watches.add(of_file())
    one.enroll_many([enrollment(name) for name in "abcd"])
    first = one.watches.unchecked(3)
    assert first is not None
    second = found_by(other)
    assert [*first.ids, *second.ids] == [1, 2, 3, 4]
    assert one.watches.unchecked(100) is other.watches.unchecked(100) is None
    for replica, found in ((other, second), (one, first)):
        replica.watches.raised([Raised(watch.id, int(number), 0.9, 0.5) for number in found.ids], found)
    assert seen(one.watches) == seen(other.watches) == ["c", "b", "a", "d"]


def test_an_image_raises_one_alert_of_a_watch_however_many_look_at_it(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed, "LOOKED_AT_S", 0.0)
    watch = replicas[0].watches.add(of_file())
    replicas[0].enroll_many([enrollment(f"{number}") for number in range(50)])
    found = [found_by(replica) for replica in replicas for _ in range(3)]
    assert {len(one.ids) for one in found} == {50}

    def raise_from(number: int) -> list[int]:
        raised = [Raised(watch.id, int(record), 0.9, 0.5) for record in found[number].ids]
        return replicas[number % 2].watches.raised(raised, found[number])

    with ThreadPoolExecutor(6) as pool:
        made = [alert_id for ids in pool.map(raise_from, range(6)) for alert_id in ids]
    assert sorted(made) == list(range(1, 51))
    assert len(set(seen(replicas[1].watches))) == 50


def test_every_image_raises_one_alert_while_replicas_enroll_look_and_deliver_at_once(
    replicas: tuple[Replica, Replica],
) -> None:
    watch = replicas[0].watches.add(of_file())

    def enroll(number: int) -> None:
        replicas[number % 2].enroll(enrollment(f"{number}"))
        raise_all(replicas[number % 2].watches, watch.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enroll, range(60)))
    for replica in replicas:
        raise_all(replica.watches, watch.id)
    assert sorted(seen(replicas[0].watches), key=int) == [str(number) for number in range(60)]
    assert [alert.id for alert in replicas[1].watches.alerts.after(0, 100)] == list(range(1, 61))

    def deliver(number: int) -> list[int]:
        its = replicas[number % 2].watches.alerts
        taken = [one.id for one in its.due(datetime.now(UTC), 100) if its.take(one.id) is not None]
        for alert_id in taken:
            its.delivered(alert_id)
        return taken

    delivered: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        while replicas[0].watches.alerts.next_due() is not None:
            for taken in pool.map(deliver, range(4)):
                delivered += taken
    assert sorted(delivered) == list(range(1, 61))


def test_what_a_replica_looked_at_that_ended_another_one_looks_at(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    watch = one.watches.add(of_file())
    one.enroll_many([enrollment("a"), enrollment("b")])
    with monkeypatch.context() as ended:
        ended.setattr(owed, "LOOKED_AT_S", 0.0)
        found = found_by(one)
    # It ends after some of its alerts, and before it could say that it has looked.
    one.watches.alerts.raise_all([Raised(watch.id, int(found.ids[0]), 0.9, 0.5)])
    assert raise_all(other.watches, watch.id) == [2]
    assert seen(other.watches) == ["b", "a"]
    assert other.watches.unchecked(100) is None


def test_an_image_whose_replica_ended_after_its_row_is_looked_at_all_the_same(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    watch = one.watches.add(of_file())
    monkeypatch.setattr(owed, "SETTLED_S", 0.0)
    numbers = one.begin(2)
    assert other.watches.alerts.last() == 0
    one.insert(numbers[:1], [enrollment("a")])
    monkeypatch.setattr(owed, "SETTLED_S", 60.0)
    assert raise_all(other.watches, watch.id) == [1]
    assert seen(other.watches) == ["a"]
    assert other.watches.state().behind_since is None


def test_a_number_of_no_row_is_forgotten_when_none_can_come(
    replicas: tuple[Replica, Replica], store: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    one.watches.add(of_file())
    monkeypatch.setattr(owed, "SETTLED_S", 0.0)
    one.begin(1)
    monkeypatch.setattr(owed, "SETTLED_S", 60.0)
    monkeypatch.setattr(shared_watches, "FORGOTTEN_S", -1.0)
    assert other.watches.unchecked(100) is None
    with store.client() as client:
        assert client.keys("*owed") == client.keys("*since") == []


def test_an_image_whose_row_is_away_for_a_moment_is_looked_at_when_it_is_back(
    replicas: tuple[Replica, Replica], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    watch = one.watches.add(of_file())
    one.enroll(enrollment("a"))
    away = dict(rows.kept)
    rows.kept.clear()
    with monkeypatch.context() as soon:
        soon.setattr(owed, "LOOKED_AT_S", 0.0)
        taken = other.watches._owed.take(1)
        soon.setattr(other.watches._owed, "take", lambda _: [taken.pop()] if taken else [])
        soon.setattr(owed, "SETTLED_S", 0.0)
        assert other.watches.unchecked(1) is None
    rows.kept.update(away)
    assert raise_all(one.watches, watch.id) == [1]


def test_an_image_on_its_way_when_a_watch_is_made_is_looked_at(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    numbers = one.begin(1)
    watch = other.watches.add(of_file())
    one.insert(numbers, [enrollment("a")])
    one.watches.enrolled(numbers)
    [watched] = other.watches.watched()
    assert (found_by(other).places > watched.after).all()
    assert watch.id == watched.id


def test_one_delivers_an_alert_at_a_time_and_another_one_where_that_one_ended(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (replica.watches.alerts for replica in replicas)
    watch = replicas[0].watches.add(of_file())
    replicas[1].enroll(enrollment("a"))
    [alert_id] = raise_all(replicas[0].watches, watch.id)
    assert one.take(alert_id) is not None
    assert other.take(alert_id) is None
    assert one.take(alert_id) is None
    assert other.due(datetime.now(UTC), 10) == []
    assert other.next_due() is not None, "so that it is looked at again"
    one.failed(alert_id, "answered 500", datetime.now(UTC))
    with monkeypatch.context() as ended:
        ended.setattr(alerts, "TAKEN_S", 0.0)
        assert one.take(alert_id) is not None
    assert other.take(alert_id) is not None
    # The first one was not dead but slow.
    one.failed(alert_id, "too late", None)
    [alert] = other.page().alerts
    assert (alert.delivery, alert.attempts, alert.problem) == ("waiting", 1, "answered 500")
    one.delivered(alert_id)
    other.failed(alert_id, "answered 500", None)
    assert one.page().alerts[0].delivery == "delivered"


def test_what_replicas_ended_in_between_left_is_not_shown_and_swept(
    replicas: tuple[Replica, Replica], rows: Rows, store: SharedStore
) -> None:
    one, other = replicas
    one.enroll_many([enrollment("a"), enrollment("b")])
    made = one.watches.add(NewWatch(image_id="a"))
    watch = one.watches.add(of_file())
    one.enroll_many([enrollment("c"), enrollment("d")])
    raise_all(one.watches, watch.id, made.id)
    # Ended after the rows were deleted.
    for name in "ac":
        del rows.kept[rows.number(name) or 0]
    assert [kept.id for kept in other.watches.all()] == [watch.id]
    assert len(other.watches.watched()) == 1
    assert set(seen(other.watches)) == {"d"}
    assert [alert.record.image_id for alert in other.watches.alerts.after(0, 1)] == ["d"]
    # Ended after the watch was removed, and before its alerts were.
    one.watches._scripts.run(watchrows.REMOVE, watch.id)
    assert other.watches.alerts.page().alerts == ()
    assert other.watches.sweep() == 3
    assert other.watches.sweep() == 0
    with store.client() as client:
        assert client.keys("*watch:data") == client.keys("*watch:gone") == client.keys("*watch:watches") == []


def test_what_is_forgotten_is_to_be_erased_from_the_file_of_the_store(store: SharedStore, rows: Rows) -> None:
    replica = Replica(store, rows)
    calls: list[bool] = []
    its = SharedWatches(store, "c1", HEADER, rows, replica.quotas, lambda: calls.append(True))
    replica.enroll_many([enrollment("a"), enrollment("b")])
    its.forget([7])
    its.forget_copies(["0" * 64])
    assert calls == []
    its.remove(its.add(of_file()).id)
    assert len(calls) == 1
    its.add(of_file())
    its.forget_copies([digest_of(FILE)])
    assert len(calls) == 2
    made = its.add(NewWatch(image_id="a")).id
    replica.enroll(enrollment("c"))
    assert raise_all(its, made) == [1]
    del rows.kept[3]
    its.forget([3])
    assert len(calls) == 3
    del rows.kept[1]
    its.forget([1])
    assert len(calls) == 4


def test_alerts_of_many_images_and_of_a_watch_are_forgotten_piece_by_piece(
    store: SharedStore, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "PIECE", 2)
    replica = Replica(store, rows)
    first, second = replica.watches.add(of_file()), replica.watches.add(of_file(name="second"))
    replica.enroll_many([enrollment(f"{number}") for number in range(7)])
    assert len(raise_all(replica.watches, first.id, second.id)) == 14
    replica.watches.forget([1, 2, 3])
    assert len(seen(replica.watches)) == 8
    replica.watches.remove(first.id)
    assert len(seen(replica.watches)) == 4
    replica.watches.forget([4, 5, 6, 7])
    assert seen(replica.watches) == []
    with store.client() as client:
        assert client.keys("*by-record") == client.keys("*pairs") == client.keys("*of:*") == []


def test_nothing_stays_of_a_watch_whose_image_goes_at_that_moment(
    store: SharedStore, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Replica(store, rows)
    replica.enroll(enrollment("a"))
    looks = iter([1, None])
    monkeypatch.setattr(rows, "number", lambda _: next(looks))
    with pytest.raises(UnknownImageError):
        replica.watches.add(NewWatch(image_id="a"))
    assert replica.watches.all() == []
    assert replica.quotas.usage().bytes == 0


def test_a_file_that_is_not_as_it_was_kept_is_not_given(store: SharedStore, rows: Rows) -> None:
    replica = Replica(store, rows)
    watch = replica.watches.add(of_file())
    with store.client() as client:
        client.hset(store.key("collection", "c1", "watch", "files"), str(watch.id), b"something else")
    with pytest.raises(DamagedImageError, match="watch's file"):
        replica.watches.image(watch.id)


def test_descriptors_of_watches_are_read_once(store: SharedStore, rows: Rows) -> None:
    replica = Replica(store, rows)
    replica.watches.add(of_file())
    first = replica.watches.watched()[0].descriptor
    assert replica.watches.watched()[0].descriptor is first
    assert first.shape == (HEADER.descriptor_dim,)
    assert first.dtype == np.float32
