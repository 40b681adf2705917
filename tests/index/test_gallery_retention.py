"""Images that are kept for so many days go when they are older, and no others do."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from index import InvalidRetentionError, LocalGallery
from index.retention import MOST_DAYS
from tests.index.samples import Open, enroll_of_ages
from tests.index.statistics import assert_statistics_are_recomputed_ones

NOW = datetime.now(UTC)


def _filled(gallery: LocalGallery) -> LocalGallery:
    enroll_of_ages(gallery)
    return gallery


YOUNG = ["young", "young without a time", "from the future"]


def _names(gallery: LocalGallery) -> list[str]:
    return [record.image_id for record in gallery.page().records]


def test_without_a_setting_everything_is_kept(open_gallery: Open) -> None:
    gallery = _filled(open_gallery())
    assert gallery.retention.state.days is None
    assert (gallery.retention.expired(), gallery.retention.apply()) == (0, 0)
    assert gallery.count() == 6


def test_what_is_older_goes_and_a_dry_run_counts_the_same(open_gallery: Open) -> None:
    gallery = _filled(open_gallery())
    assert gallery.retention.expired(30) == 3
    assert gallery.count() == 6
    gallery.retention.set(30)
    _wait_for(gallery, 3)
    assert _names(gallery) == YOUNG
    assert gallery.retention.expired() == 0
    assert gallery.unerased_seconds() > 0
    assert_statistics_are_recomputed_ones(gallery)


def _wait_for(gallery: LocalGallery, deleted: int) -> None:
    """Wait until the thread has deleted so many images."""
    for _ in range(600):
        if gallery.retention.state.deleted >= deleted:
            return
        time.sleep(0.05)
    pytest.fail("not deleted within 30 s")


def test_the_setting_is_durable_and_the_next_process_goes_by_it(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.retention.set(30)
    gallery.close()
    monkeypatch.setattr("index.retention.FIRST_S", 0.2)
    gallery = _filled(open_gallery())
    assert gallery.retention.state.days == 30
    gallery.close()
    gallery = open_gallery()
    _wait_for(gallery, 3)
    assert _names(gallery) == YOUNG
    gallery.retention.set(None)
    gallery.close()
    assert open_gallery().retention.state.days is None


@pytest.mark.parametrize("days", [0, -1, MOST_DAYS + 1])
def test_days_that_cannot_be_are_refused(days: int, open_gallery: Open) -> None:
    gallery = open_gallery()
    with pytest.raises(InvalidRetentionError, match=f"for {days} days"):
        gallery.retention.set(days)
    with pytest.raises(InvalidRetentionError):
        gallery.retention.expired(days)
    assert gallery.retention.state.days is None


def test_a_failure_is_told_and_tried_again(open_gallery: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = _filled(open_gallery())
    failing = gallery._store.delete_some

    def fail(*_: object) -> None:
        raise OSError("no disk")

    monkeypatch.setattr(gallery._store, "delete_some", fail)
    gallery.retention.set(30)
    for _ in range(600):
        if gallery.retention.state.failed:
            break
        time.sleep(0.05)
    assert gallery.retention.state.failed
    monkeypatch.setattr(gallery._store, "delete_some", failing)
    assert gallery.retention.apply() == 3
    assert not gallery.retention.state.failed
