"""What is known of an image changes, and images go by a filter: exactly, durably, and in all that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from index import (
    Amendment,
    ChangedImageError,
    DamagedImageError,
    Filter,
    InvalidEnrollmentError,
    InvalidFilterError,
    LocalGallery,
    Record,
    UnknownImageError,
)
from index.upkeep.verification import verify
from tests.index.alterations import alter
from tests.index.samples import AnyGallery, Open, OpenAny, enrollment
from tests.index.statistics import assert_statistics_are_recomputed_ones

G = TypeVar("G", bound=AnyGallery)
NEW: Amendment = {
    "vehicle_id": "another vehicle",
    "camera_id": "camera-8",
    "captured_at": datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "view": None,
    "vehicle_type": "bus",
    "tags": ("night", "größer"),
}


def test_every_field_changes_and_what_stands_beside_it_stays(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    before, other = gallery.get("a"), gallery.get("b")
    assert gallery.update("a", NEW) == replace(before, **NEW)
    gallery = _reopened(gallery, open_any)
    assert gallery.get("a") == replace(before, **NEW)
    assert gallery.get("b") == other
    assert gallery.image("a") == (enrollment("a").image, "image/png")
    assert gallery.update("a", {"view": "rear"}) == replace(before, **(NEW | {"view": "rear"}))


def test_filters_follow(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    gallery.update("a", NEW)
    for where, name in (
        (Filter(any_tags=frozenset({"night"})), "a"),
        (Filter(any_tags=frozenset({"bus"})), "b"),
        (Filter(camera_ids=frozenset({"camera-8"})), "a"),
        (Filter(camera_ids=frozenset({"camera-7"})), "b"),
        (Filter(vehicle_types=frozenset({"bus"})), "a"),
        (Filter(captured_from=datetime(2025, 1, 1, tzinfo=UTC)), "a"),
    ):
        assert [record.image_id for record in gallery.page(where=where).records] == [name]
        [found] = gallery.search(enrollment("a").descriptor[np.newaxis], k=5, where=where)
        assert [match.record.image_id for match in found] == [name]


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_statistics_and_vectors_follow_a_camera_that_is_another_one_now(
    with_snapshot: bool, open_gallery: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery(normalisation="on")
    gallery.enroll_many(
        [enrollment(name, camera_id=f"camera-{number % 2}") for number, name in enumerate("abcdef")]
    )
    gallery.cameras.renew_if_due()
    if with_snapshot:
        gallery.snapshot()
    gallery.update("a", {"camera_id": "camera-1"})
    gallery.update("b", {"camera_id": None})
    gallery.update("a", {"camera_id": "camera-0"})
    gallery.update("a", {"camera_id": "camera-1"})
    gallery.cameras.wait()
    assert_statistics_are_recomputed_ones(gallery)
    expected = _similarities(gallery)
    if with_snapshot:
        monkeypatch.setattr("index.vectors.recovery.rebuild", lambda *_: pytest.fail("rebuilt"))
    gallery = _reopened(gallery, open_gallery)
    assert _similarities(gallery) == expected
    in_force = gallery.cameras.normalisation()
    row = in_force.apply(enrollment("a").descriptor[np.newaxis], ["camera-1"])
    [[match]] = gallery.search(enrollment("a").descriptor[np.newaxis], k=1, cameras=["camera-1"])
    assert (match.record.image_id, match.record.camera_id) == ("a", "camera-1")
    assert match.similarity == pytest.approx(float((row @ row.T)[0, 0]), abs=1e-3)
    gallery.close()
    assert verify(folder).findings == []


def _similarities(gallery: LocalGallery) -> list[tuple[str, float]]:
    [found] = gallery.search(enrollment("x").descriptor[np.newaxis], k=100)
    return [(match.record.image_id, match.similarity) for match in found]


def _reopened(gallery: G, open_it: Callable[..., G]) -> G:
    gallery.close()
    return open_it()


def test_what_is_the_same_already_is_no_change(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll(enrollment("a"))
    assert gallery.update("a", {"camera_id": "camera-7", "tags": ("bus", "größer")}) == gallery.get("a")
    assert gallery.update("a", {}) == gallery.get("a")
    assert gallery.changes_since_snapshot() <= 1


def test_a_record_that_cannot_be_changed_so_stays_as_it_is(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll(enrollment("a"))
    before = gallery.get("a")
    for wrong, field in (
        ({"vehicle_id": "a\0b"}, "vehicle_id"),
        ({"tags": None}, "tags"),
        ({"captured_at": datetime(2024, 1, 1)}, "captured_at"),
        ({"image_id": "b"}, "image_id"),
    ):
        with pytest.raises(InvalidEnrollmentError, match=field):
            gallery.update("a", wrong)  # type: ignore[arg-type]
    with pytest.raises(UnknownImageError):
        gallery.update("b", NEW)
    assert gallery.get("a") == before


def test_a_record_that_is_damaged_is_not_changed(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    gallery._store._writer.execute("UPDATE record SET vehicle_id = 'changed by the disk'")
    with pytest.raises(DamagedImageError):
        gallery.update("a", NEW)


def test_a_filter_deletes_what_it_lets_through_and_nothing_else(
    open_any: OpenAny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.local.gallery.DELETED_AT_ONCE", 3)
    monkeypatch.setattr("index.milvus.gallery.DELETED_AT_ONCE", 3)
    gallery = open_any()
    gallery.enroll_many(
        [
            enrollment(f"{n}", vehicle_id=f"v{n % 3}", camera_id=f"c{n % 2}" if n % 5 else None)
            for n in range(30)
        ]
    )
    where = Filter(vehicle_ids=frozenset({"v1"}), not_camera_ids=frozenset({"c0"}))
    doomed = [record.image_id for record in gallery.page(where=where).records]
    assert 3 < len(doomed) < 10
    assert gallery.delete_where(where, most=4) == 4
    assert gallery.count(where) == len(doomed) - 4
    assert gallery.delete_where(where) == len(doomed) - 4
    assert gallery.delete_where(where) == 0
    gallery = _reopened(gallery, open_any)
    left = {record.image_id for record in gallery.page().records}
    assert left == {str(n) for n in range(30)} - set(doomed)
    [found] = gallery.search(enrollment("1").descriptor[np.newaxis], k=100)
    assert {match.record.image_id for match in found} == left
    if isinstance(gallery, LocalGallery):
        assert_statistics_are_recomputed_ones(gallery)
    with pytest.raises(InvalidFilterError):
        gallery.delete_where("v1")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes_agrees_with_a_model(seed: int, open_gallery: Open, folder: Path) -> None:
    random = np.random.default_rng(seed)
    gallery = open_gallery(normalisation="on", snapshot_every=7)
    model: dict[str, Record] = {}
    for step in range(60):
        name = f"image-{random.integers(12)}"
        camera = [None, "c0", "c1", "c2"][random.integers(4)]
        action = random.choice(["enroll", "enroll", "delete", "update", "filter", "reopen", "renew"])
        if action == "renew":
            gallery.cameras.renew_if_due()
        elif action == "reopen":
            gallery.close()
            gallery = open_gallery(normalisation="on", snapshot_every=7)
        elif action != "filter" or (camera is not None and random.random() < 0.3):
            alter(gallery, model, action, name, camera, step)
        assert {record.image_id: record for record in gallery.page().records} == model
    assert_statistics_are_recomputed_ones(gallery)
    gallery.cameras.wait()
    in_force = gallery.cameras.normalisation()
    [found] = gallery.search(enrollment("x").descriptor[np.newaxis], k=100, cameras=["c1"])
    probe = in_force.apply(enrollment("x").descriptor[np.newaxis], ["c1"])[0]
    expected = {
        one: float(in_force.apply(enrollment(one).descriptor[np.newaxis], [record.camera_id])[0] @ probe)
        for one, record in model.items()
    }
    assert {match.record.image_id: match.similarity for match in found} == pytest.approx(expected, abs=2e-3)
    gallery.close()
    assert verify(folder).findings == []


def test_only_a_record_that_is_still_the_one_that_was_read_is_changed(open_any: OpenAny) -> None:
    gallery = open_any()
    read = gallery.enroll(enrollment("a"))
    changed = gallery.update("a", {"view": "left"}, read)
    with pytest.raises(ChangedImageError):
        gallery.update("a", {"view": "top"}, read)
    assert gallery.get("a") == changed
    assert gallery.update("a", {"view": "top"}, changed).view == "top"
