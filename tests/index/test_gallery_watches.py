"""Watches look at what is enrolled after them, once, also after a kill; they go with the image."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from index import (
    LocalGallery,
    NewWatch,
    Raised,
    TooManyWatchesError,
    UnknownAlertError,
    UnknownImageError,
    UnknownWatchError,
    Watch,
)
from index.database.connections import DATABASE
from index.local.watches import LocalWatches
from index.upkeep.verification import verify
from tests.index.killed import killed_after
from tests.index.samples import Open, enrollment

FILE = b"\x89PNG the file of a watched vehicle, as it was sent"
SECRET = "whsec-a-secret-of-a-webhook"  # noqa: S105 - of a test


def of_file(**changes: object) -> NewWatch:
    values = {
        "name": "stolen-van-of-last-night",
        "data": FILE,
        "media_type": "image/png",
        "descriptor": enrollment("watched").descriptor,
        "camera_id": "gate",
        "threshold": 0.625,
        "cameras": frozenset({"camera-7", "gate"}),
        "webhook": "https://hooks.example/in",
        "secret": SECRET,
        "created_by": "3f9a1c2e",
    }
    return NewWatch(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def gallery(open_gallery: Open) -> LocalGallery:
    opened = open_gallery()
    opened.enroll_many([enrollment(name) for name in "abc"])
    return opened


@pytest.fixture
def watches(gallery: LocalGallery) -> LocalWatches:
    return gallery.watches


def raise_all(watches: LocalWatches, watch: Watch) -> list[int]:
    """Alerts of a watch for all that it has not looked at."""
    found = watches.unchecked(100)
    if found is None:
        return []
    return watches.raised([Raised(watch.id, int(number), 0.9, 0.5) for number in found.ids], found.last)


def seen(watches: LocalWatches) -> list[str]:
    return [alert.record.image_id for alert in watches.alerts.page().alerts]


def test_a_watch_is_kept_as_it_was_made_and_outlives_a_restart(
    gallery: LocalGallery, open_gallery: Open
) -> None:
    given = gallery.watches.add(of_file())
    assert (given.name, given.threshold, given.image_id) == ("stolen-van-of-last-night", 0.625, None)
    assert (given.camera_id, given.cameras) == ("gate", frozenset({"camera-7", "gate"}))
    gallery.close()
    again = open_gallery().watches
    assert again.all() == [again.get(given.id)] == [given]
    assert again.image(given.id) == (FILE, "image/png")
    assert again.webhook(given.id) == ("https://hooks.example/in", SECRET)
    assert SECRET not in repr(given) + repr(of_file())
    [watched] = again.watched()
    assert np.array_equal(watched.descriptor, enrollment("watched").descriptor)


def test_a_watch_looks_at_what_is_enrolled_after_it_and_once(
    gallery: LocalGallery, watches: LocalWatches
) -> None:
    calls: list[bool] = []
    watches.on_enrolled(lambda: calls.append(True))
    assert watches.unchecked(100) is None
    watch = watches.add(of_file())
    assert watches.unchecked(100) is None
    gallery.enroll_many([enrollment("d"), enrollment("e", camera_id=None)])
    assert calls == [True]
    assert watches.state().behind_since == gallery.get("d").enrolled_at
    found = watches.unchecked(100)
    assert found is not None
    assert found.cameras == ["camera-7", None]
    assert np.allclose(found.descriptors[0], enrollment("d").descriptor, atol=1e-3)
    assert len(raise_all(watches, watch)) == 2
    assert raise_all(watches, watch) == []
    assert watches.raised([Raised(watch.id, int(found.ids[0]), 0.9, 0.5)], int(found.ids[0])) == []
    assert watches.unchecked(100) is None
    assert watches.state().behind_since is None
    assert seen(watches) == ["e", "d"]


def test_a_watch_that_is_added_later_does_not_look_at_what_came_before(
    gallery: LocalGallery, watches: LocalWatches
) -> None:
    watches.add(of_file())
    gallery.enroll(enrollment("d"))
    later = watches.add(of_file(name="later"))
    found = watches.unchecked(100)
    assert found is not None
    assert [watched.after_record < found.last for watched in watches.watched()] == [True, False]
    watches.remove(later.id)
    assert len(watches.watched()) == 1


def test_an_alert_that_an_acknowledged_enrollment_owes_outlives_a_kill(
    folder: Path, open_gallery: Open
) -> None:
    open_gallery().close()

    def work() -> LocalGallery:
        gallery = LocalGallery.open(folder, fingerprint="model-a", descriptor_dim=8, strips_shape=(2, 3))
        watch = gallery.watches.add(of_file())
        gallery.enroll(enrollment("a"))
        raise_all(gallery.watches, watch)
        gallery.enroll(enrollment("b"))
        return gallery

    killed_after(work)
    watches = open_gallery().watches
    [watch] = watches.all()
    assert len(raise_all(watches, watch)) == 1
    assert seen(watches) == ["b", "a"]


def test_a_watch_goes_with_the_image_that_it_is_made_of_and_an_alert_with_its_image(
    gallery: LocalGallery, watches: LocalWatches
) -> None:
    gallery.enroll(enrollment("same bytes", image=FILE))
    watches.add(of_file())
    of_image = watches.add(NewWatch(image_id="a"))
    assert (of_image.image_id, of_image.camera_id) == ("a", "camera-7")
    gallery.update("a", {"camera_id": "moved"})
    assert [watch.camera_id for watch in watches.watched()] == ["gate", "moved"]
    assert watches.image(of_image.id)[0] == enrollment("a").image
    gallery.enroll(enrollment("d"))
    assert len(raise_all(watches, of_image)) == 1
    gallery.delete("d")
    assert seen(watches) == []
    gallery.delete("a")
    assert [watch.image_id for watch in watches.all()] == [None]
    gallery.delete("same bytes")
    assert watches.all() == []
    with pytest.raises(UnknownWatchError):
        watches.get(of_image.id)


def test_nothing_of_a_watch_that_is_removed_or_whose_image_is_deleted_is_in_any_file(
    gallery: LocalGallery, watches: LocalWatches, folder: Path
) -> None:
    gallery.enroll(enrollment("same bytes", image=FILE))
    name, file, secret = "the-name-of-a-removed-watch", b"a file that no image has", f"{SECRET}-removed"
    removed = watches.add(of_file(name=name, data=file, secret=secret))
    watches.add(of_file())
    backup = folder / "backup-version-7"
    backup.mkdir()
    gallery.compact()
    shutil.copy(folder / DATABASE, backup / DATABASE)
    traces = [
        *(name.encode(), file, secret.encode(), FILE, b"stolen-van-of-last-night", SECRET.encode()),
        enrollment("watched").descriptor.astype("<f4").tobytes(),
    ]

    def left() -> list[bytes]:
        files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        return [trace for trace in traces if any(trace in content for content in files)]

    assert left() == traces
    watches.remove(removed.id)
    gallery.erase()
    assert left() == traces[3:]
    gallery.delete("same bytes")
    gallery.erase(in_use=False)
    gallery.close()
    assert left() == []
    assert (backup / DATABASE).is_file()


def test_a_delivery_waits_fails_dies_and_is_delivered_again(
    gallery: LocalGallery, watches: LocalWatches
) -> None:
    watch = watches.add(of_file())
    gallery.enroll(enrollment("d"))
    [alert_id] = raise_all(watches, watch)
    now = datetime.now(UTC)
    assert [alert.id for alert in watches.alerts.due(now, 10)] == [alert_id]
    watches.alerts.failed(alert_id, "answered 500", now + timedelta(hours=1))
    assert watches.alerts.due(now, 10) == []
    assert watches.alerts.next_due() == now + timedelta(hours=1)
    for change in (watches.alerts.retry, watches.alerts.drop):
        with pytest.raises(UnknownAlertError):
            change(alert_id)
    watches.alerts.failed(alert_id, "answered 502", None)
    [dead] = watches.alerts.page(delivery="dead").alerts
    assert (dead.attempts, dead.problem, dead.due_at) == (2, "answered 502", None)
    assert watches.state().dead == 1
    assert watches.alerts.retry(alert_id).delivery == "waiting"
    assert watches.state().waiting == 1
    watches.alerts.delivered(alert_id)
    assert watches.alerts.page().alerts[0].delivery == "delivered"
    assert watches.alerts.next_due() is None


def test_a_dead_letter_that_is_dropped_is_none_any_more_and_its_alert_stays(
    gallery: LocalGallery, watches: LocalWatches
) -> None:
    watch = watches.add(of_file())
    gallery.enroll(enrollment("d"))
    [alert_id] = raise_all(watches, watch)
    watches.alerts.failed(alert_id, "answered 410", None)
    watches.alerts.drop(alert_id)
    assert watches.alerts.page(delivery="dead").alerts == ()
    assert [alert.delivery for alert in watches.alerts.page().alerts] == ["dropped"]


def test_one_watch_takes_not_all_the_places_of_deliveries(
    gallery: LocalGallery, watches: LocalWatches
) -> None:
    first, second = watches.add(of_file()), watches.add(of_file(name="second"))
    gallery.enroll_many([enrollment(f"d{number}") for number in range(8)])
    found = watches.unchecked(100)
    assert found is not None
    for watch, ids in ((first, found.ids), (second, found.ids[-1:])):
        watches.raised([Raised(watch.id, int(number), 0.9, 0.5) for number in ids], found.last)
    due = watches.alerts.due(datetime.now(UTC), 10)
    assert [alert.watch_id for alert in due] == [first.id] * 4 + [second.id]


def test_alerts_are_paged_from_the_newest_and_followed_from_any(
    gallery: LocalGallery, watches: LocalWatches
) -> None:
    watch = watches.add(NewWatch(image_id="a"))
    gallery.enroll_many([enrollment(name) for name in "defg"])
    ids = raise_all(watches, watch)
    page = watches.alerts.page(limit=3)
    assert [alert.id for alert in page.alerts] == ids[:0:-1]
    assert [alert.id for alert in watches.alerts.page(page.next).alerts] == ids[:1]
    assert [alert.id for alert in watches.alerts.after(ids[1], 10)] == ids[2:]
    assert watches.alerts.last() == ids[-1]
    assert watches.alerts.page(since=datetime.now(UTC)).alerts == ()
    assert len(watches.alerts.page(watch_id=watch.id, since=page.alerts[0].raised_at).alerts) == 4
    assert {alert.delivery for alert in page.alerts} == {None}


def test_a_watch_of_nothing_and_one_too_many_are_refused(
    watches: LocalWatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image_id in ("none", "\0"):
        with pytest.raises(UnknownImageError):
            watches.add(NewWatch(image_id=image_id))
    monkeypatch.setattr("index.local.watches.MOST_WATCHES", 1)
    watches.add(NewWatch(image_id="a"))
    with pytest.raises(TooManyWatchesError):
        watches.add(NewWatch(image_id="b"))


def test_a_file_of_a_watch_that_is_damaged_is_found_and_not_shown(
    gallery: LocalGallery, watches: LocalWatches, folder: Path
) -> None:
    watch = watches.add(of_file())
    gallery.close()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE watch SET data = ?", (b"another file",))
        connection.commit()
    texts = [finding.text for finding in verify(folder).findings]
    assert texts == [f"watch {watch.id}: its file is not as it was kept; remove the watch"]
