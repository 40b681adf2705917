"""Watches and alerts behave alike in SQLite and in the shared store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from index import (
    LocalGallery,
    NewWatch,
    Quota,
    QuotaReachedError,
    Raised,
    TooManyWatchesError,
    UnknownAlertError,
    UnknownImageError,
    UnknownWatchError,
    watches,
)
from index.gallery_watches import GalleryWatches
from index.shared import SharedStore
from tests.index.samples import enrollment
from tests.index.shared.conftest import HOMES
from tests.index.watch_samples import FILE, SECRET, Replica, Rows, of_file, raise_all, seen

Opening = Callable[[], LocalGallery | Replica]


@pytest.fixture(params=HOMES)
def reopen(request: pytest.FixtureRequest) -> Opening:
    """Opens the gallery again, by another process where there may be several."""
    if request.param == "shared":
        connect, rows = request.getfixturevalue("connect"), Rows()
        return lambda: Replica(connect(), rows)
    opened: list[LocalGallery] = []

    def again() -> LocalGallery:
        for one in opened:
            one.close()
        opened.append(request.getfixturevalue("open_gallery")())
        return opened[-1]

    return again


@pytest.fixture
def gallery(reopen: Opening) -> LocalGallery | Replica:
    opened = reopen()
    opened.enroll_many([enrollment(name) for name in "abc"])
    return opened


@pytest.fixture
def kept(gallery: LocalGallery | Replica) -> GalleryWatches:
    return gallery.watches


def test_a_watch_is_kept_as_it_was_made_and_outlives_a_restart(
    gallery: LocalGallery | Replica, reopen: Opening
) -> None:
    given = gallery.watches.add(of_file())
    assert (given.id, given.name, given.threshold) == (1, "stolen-van-of-last-night", 0.625)
    assert (given.image_id, given.created_by, given.alerts) == (None, "3f9a1c2e", 0)
    assert (given.camera_id, given.cameras) == ("gate", frozenset({"camera-7", "gate"}))
    again = reopen().watches
    assert again.all() == [again.get(given.id)] == [given]
    assert again.image(given.id) == (FILE, "image/png")
    assert again.webhook(given.id) == ("https://hooks.example/in", SECRET)
    assert SECRET not in repr(given) + repr(of_file())
    [watched] = again.watched()
    assert np.array_equal(watched.descriptor, enrollment("watched").descriptor)
    again.remove(given.id)
    assert again.add(NewWatch(image_id="a")).id == 2
    assert again.webhook(2) is None


def test_a_watch_looks_at_what_is_enrolled_after_it_and_once(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    calls: list[bool] = []
    kept.on_enrolled(lambda: calls.append(True))
    assert kept.unchecked(100) is None
    watch = kept.add(of_file())
    assert kept.unchecked(100) is None
    gallery.enroll_many([enrollment("d"), enrollment("e", camera_id=None)])
    assert calls == [True]
    assert kept.state().behind_since == gallery.get("d").enrolled_at
    found = kept.unchecked(100)
    assert found is not None
    assert found.cameras == ["camera-7", None]
    assert np.allclose(found.descriptors[0], enrollment("d").descriptor, atol=1e-3)
    [watched] = kept.watched()
    assert (found.places > watched.after).all()
    alerts = [Raised(watch.id, int(number), 0.9, 0.5) for number in found.ids]
    assert kept.raised(alerts, found) == [1, 2]
    assert kept.raised(alerts, found) == []
    assert kept.unchecked(100) is None
    assert kept.state().behind_since is None
    assert seen(kept) == ["e", "d"]
    assert kept.get(watch.id).alerts == 2


def test_a_watch_that_is_added_later_does_not_look_at_what_came_before(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    kept.add(of_file())
    gallery.enroll(enrollment("d"))
    later = kept.add(of_file(name="later"))
    found = kept.unchecked(100)
    assert found is not None
    assert [(found.places > watched.after).any() for watched in kept.watched()] == [True, False]
    kept.remove(later.id)
    assert len(kept.watched()) == 1


def test_what_is_enrolled_while_nobody_watches_is_not_looked_at_later(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    first = kept.add(of_file())
    gallery.enroll(enrollment("d"))
    kept.remove(first.id)
    gallery.enroll(enrollment("e"))
    assert kept.unchecked(100) is None
    kept.add(of_file())
    assert kept.unchecked(100) is None
    assert kept.state().behind_since is None


def test_a_watch_goes_with_the_image_that_it_is_made_of_and_an_alert_with_its_image(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    gallery.enroll(enrollment("same bytes", image=FILE))
    kept.add(of_file())
    of_image = kept.add(NewWatch(image_id="a"))
    assert (of_image.image_id, of_image.camera_id) == ("a", "camera-7")
    gallery.update("a", {"camera_id": "moved"})
    assert [watch.camera_id for watch in kept.watched()] == ["gate", "moved"]
    assert kept.image(of_image.id)[0] == enrollment("a").image
    gallery.enroll(enrollment("d"))
    gallery.enroll(enrollment("e"))
    assert raise_all(kept, of_image.id) == [1, 2]
    gallery.delete("d")
    assert seen(kept) == ["e"]
    assert kept.get(of_image.id).alerts == 1
    gallery.delete("a")
    assert [watch.image_id for watch in kept.all()] == [None]
    assert seen(kept) == []
    gallery.delete("same bytes")
    assert kept.all() == []
    for wrong in (kept.get, kept.image, kept.remove):
        with pytest.raises(UnknownWatchError):
            wrong(of_image.id)


def test_an_image_that_is_deleted_before_it_was_looked_at_raises_nothing(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    watch = kept.add(of_file())
    gallery.enroll_many([enrollment("d"), enrollment("e")])
    found = kept.unchecked(100)
    assert found is not None
    gallery.delete("d")
    assert kept.raised([Raised(watch.id, int(number), 0.9, 0.5) for number in found.ids], found) == [1]
    assert seen(kept) == ["e"]


def test_a_delivery_waits_fails_dies_and_is_delivered_again(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    watch = kept.add(of_file())
    gallery.enroll(enrollment("d"))
    [alert_id] = raise_all(kept, watch.id)
    now = datetime.now(UTC)
    assert [alert.id for alert in kept.alerts.due(datetime.now(UTC), 10)] == [alert_id]
    assert kept.alerts.take(alert_id) is not None
    kept.alerts.failed(alert_id, "answered 500", now + timedelta(hours=1))
    assert kept.alerts.due(now, 10) == []
    assert kept.alerts.take(alert_id) is None
    assert kept.alerts.next_due() == now + timedelta(hours=1)
    for change in (kept.alerts.retry, kept.alerts.drop):
        with pytest.raises(UnknownAlertError):
            change(alert_id)
    kept.alerts.failed(alert_id, "answered 502", None)
    [dead] = kept.alerts.page(delivery="dead").alerts
    assert (dead.delivery, dead.attempts, dead.problem, dead.due_at) == ("dead", 2, "answered 502", None)
    assert kept.alerts.page(delivery="dead", watch_id=watch.id).alerts == (dead,)
    assert kept.alerts.page(delivery="dead", watch_id=watch.id + 1).alerts == ()
    assert (kept.state().dead, kept.state().waiting) == (1, 0)
    again = kept.alerts.retry(alert_id)
    assert (again.delivery, again.attempts) == ("waiting", 0)
    assert (kept.state().dead, kept.state().waiting) == (0, 1)
    assert kept.alerts.page(delivery="waiting").alerts == (again,)
    assert kept.alerts.take(alert_id) is not None
    kept.alerts.delivered(alert_id)
    assert kept.alerts.take(alert_id) is None
    assert kept.alerts.page().alerts[0].delivery == "delivered"
    assert kept.alerts.next_due() is None
    for note in (kept.alerts.delivered, kept.alerts.drop):
        if note == kept.alerts.drop:
            with pytest.raises(UnknownAlertError):
                note(99)
        else:
            note(99)


def test_a_dead_letter_that_is_dropped_is_none_any_more_and_its_alert_stays(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    watch = kept.add(of_file())
    gallery.enroll(enrollment("d"))
    [alert_id] = raise_all(kept, watch.id)
    kept.alerts.failed(alert_id, "answered 410", None)
    kept.alerts.drop(alert_id)
    assert kept.alerts.page(delivery="dead").alerts == ()
    assert [alert.delivery for alert in kept.alerts.page().alerts] == ["dropped"]


def test_one_watch_takes_not_all_the_places_of_deliveries(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    first, second = kept.add(of_file()), kept.add(of_file(name="second"))
    gallery.enroll_many([enrollment(f"d{number}") for number in range(8)])
    found = kept.unchecked(100)
    assert found is not None
    alerts = [Raised(first.id, int(number), 0.9, 0.5) for number in found.ids]
    kept.raised([*alerts, Raised(second.id, int(found.ids[-1]), 0.9, 0.5)], found)
    due = kept.alerts.due(datetime.now(UTC), 10)
    assert [alert.watch_id for alert in due] == [first.id] * 4 + [second.id]


def test_alerts_are_paged_from_the_newest_and_followed_from_any(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    watch = kept.add(NewWatch(image_id="a"))
    other = kept.add(NewWatch(image_id="b"))
    gallery.enroll_many([enrollment(name) for name in "defg"])
    ids = raise_all(kept, watch.id)
    page = kept.alerts.page(limit=3)
    assert [alert.id for alert in page.alerts] == ids[:0:-1]
    assert [alert.id for alert in kept.alerts.page(page.next).alerts] == ids[:1]
    assert kept.alerts.page(page.next).next is None
    assert [alert.id for alert in kept.alerts.after(ids[1], 10)] == ids[2:]
    assert [alert.id for alert in kept.alerts.after(0, 2)] == ids[:2]
    assert kept.alerts.last() == ids[-1]
    assert kept.alerts.page(since=datetime(2100, 1, 1, tzinfo=UTC)).alerts == ()
    assert len(kept.alerts.page(watch_id=watch.id, since=page.alerts[-1].raised_at).alerts) == 4
    assert kept.alerts.page(watch_id=other.id).alerts == ()
    assert {alert.delivery for alert in page.alerts} == {None}
    for limit in (0, -1):
        with pytest.raises(ValueError, match="limit"):
            kept.alerts.page(limit=limit)


def test_so_many_alerts_are_kept_and_no_id_is_given_twice(
    gallery: LocalGallery | Replica, kept: GalleryWatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("index.watches", "index.local.watches"):
        monkeypatch.setattr(f"{module}.MOST_ALERTS", 3)
    watch = kept.add(of_file())
    gallery.enroll_many([enrollment(name) for name in "defgh"])
    assert raise_all(kept, watch.id) == [1, 2, 3, 4, 5]
    assert seen(kept) == ["h", "g", "f"]
    assert kept.state().waiting == 3
    gallery.delete("h")
    gallery.enroll(enrollment("i"))
    assert raise_all(kept, watch.id) == [6]


def test_a_watch_of_nothing_and_one_too_many_are_refused(
    kept: GalleryWatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image_id in ("none", "\0"):
        with pytest.raises(UnknownImageError):
            kept.add(NewWatch(image_id=image_id))
    for module in ("index.watches", "index.local.watches"):
        monkeypatch.setattr(f"{module}.MOST_WATCHES", 1)
    kept.add(NewWatch(image_id="a"))
    with pytest.raises(TooManyWatchesError):
        kept.add(NewWatch(image_id="b"))
    assert len(kept.all()) == 1


def test_a_file_counts_for_the_quota_and_gives_its_room_back(
    gallery: LocalGallery | Replica, kept: GalleryWatches
) -> None:
    big = bytes(range(256)) * 400
    before = gallery.quotas.usage().bytes
    gallery.quotas.set(Quota(bytes=before + watches.ROOM))
    with pytest.raises(QuotaReachedError, match="bytes"):
        kept.add(of_file(data=big))
    assert kept.all() == []
    gallery.quotas.set(Quota())
    watch = kept.add(of_file(data=big))
    assert gallery.quotas.usage().bytes >= before + len(big)
    kept.remove(watch.id)
    assert gallery.quotas.usage().bytes < before + len(big)


def test_nothing_of_a_watch_that_is_removed_or_whose_image_is_deleted_is_in_the_store(
    connect: Callable[[], SharedStore],
) -> None:
    store = connect()
    replica = Replica(store, Rows())
    with store.client() as client:
        empty = set(client.keys("*"))
    replica.enroll(enrollment("same bytes", image=FILE))
    replica.enroll(enrollment("an-id-to-forget"))
    removed = replica.watches.add(of_file(data=b"of no image"))
    replica.watches.add(of_file())
    made = replica.watches.add(NewWatch(image_id="an-id-to-forget", name="a name"))
    for name in "de":
        replica.enroll(enrollment(name))
        assert len(raise_all(replica.watches, removed.id, made.id)) == 2
    replica.watches.alerts.failed(1, "answered 410", None)
    replica.watches.remove(removed.id)
    for name in ("same bytes", "an-id-to-forget", "d", "e"):
        replica.delete(name)
    with store.client() as client:
        left = {key.decode().rpartition(":")[2] for key in set(client.keys("*")) - empty}
    assert left == {"number", "used", "place", "last-watch", "last-alert", "raised-at"}
