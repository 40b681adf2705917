"""What is enrolled is given back as it was, listed in order, and forgotten when deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import (
    DuplicateImageError,
    GalleryClosedError,
    GalleryHeader,
    InvalidEnrollmentError,
    LocalGallery,
    Record,
    UnknownImageError,
)
from tests.index.samples import AnyGallery, Open, OpenAny, enrollment

# Field, value, and words of what was expected.
MISFITS: list[tuple[str, Any, str]] = [
    ("image_id", "", "text that is not empty"),
    ("image_id", "a\0b", "without NUL"),
    ("image_id", "\ud800", "text"),
    ("image_id", 7, "text"),
    ("media_type", "", "text"),
    ("vehicle_id", 7, "text without NUL, or None"),
    ("camera_id", "\0", "text without NUL, or None"),
    ("view", "\udfff", "text without NUL, or None"),
    ("view", "\0" * 10_000, "text without NUL, or None"),
    ("tags", ["bus"], "a tuple of text"),
    ("tags", ("bus", 7), "a tuple of text"),
    ("captured_at", datetime(2024, 1, 1), "a datetime with a time zone"),
    ("captured_at", datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "time zone"),
    ("captured_at", "2024-01-01", "a datetime with a time zone"),
    ("enrolled_at", datetime(2024, 1, 1), "a datetime with a time zone"),
    ("image", b"", "the image file's bytes"),
    ("image", "text", "the image file's bytes"),
    ("descriptor", [1.0] * 8, "float32 [8]"),
    ("descriptor", np.ones(8), "float32 [8]"),
    ("descriptor", np.ones(7, np.float32), "float32 [8]"),
    ("descriptor", np.ones((1, 8), np.float32), "float32 [8]"),
    ("descriptor", np.ones(8, np.float32), "unit length"),
    ("descriptor", np.zeros(8, np.float32), "unit length"),
    ("descriptor", np.full(8, np.nan, np.float32), "finite"),
    ("descriptor", np.full(8, np.inf, np.float32), "finite"),
    ("strips", np.ones((2, 3), np.float32), "float16 [2, 3]"),
    ("strips", np.ones((3, 2), np.float16), "float16 [2, 3]"),
    ("strips", np.full((2, 3), np.nan, np.float16), "without NaN"),
]


def _contents(gallery: AnyGallery) -> list[tuple[Record, tuple[bytes, str]]]:
    return [(record, gallery.image(record.image_id)) for record in gallery.page(limit=1000).records]


def _listed(gallery: AnyGallery, limit: int) -> list[str]:
    page = gallery.page(limit=limit)
    listed = [record.image_id for record in page.records]
    while page.next is not None:
        page = gallery.page(after=page.next, limit=limit)
        listed += [record.image_id for record in page.records]
    return listed


def test_everything_enrolled_is_given_back_unchanged_after_reopening(open_any: OpenAny) -> None:
    given = enrollment("a")
    gallery = open_any()
    before = datetime.now(UTC)
    record = gallery.enroll(given)
    assert before <= record.enrolled_at <= datetime.now(UTC)
    gallery.close()

    gallery = open_any()
    assert gallery.get("a") == record
    assert record == Record(
        image_id="a",
        vehicle_id=given.vehicle_id,
        camera_id=given.camera_id,
        captured_at=given.captured_at,
        view=given.view,
        tags=given.tags,
        fingerprint="model-a",
        enrolled_at=record.enrolled_at,
        media_type=given.media_type,
    )
    assert gallery.image("a") == (given.image, "image/png")
    [[match]] = gallery.search(given.descriptor[np.newaxis], k=3, strips=3)
    assert match.record == record
    assert match.strips is not None
    assert match.strips.dtype == np.float16
    np.testing.assert_array_equal(match.strips, np.asarray(given.strips))
    assert match.similarity == pytest.approx(1.0)


def test_optional_fields_may_be_absent(open_any: OpenAny) -> None:
    gallery = open_any()
    record = gallery.enroll(
        enrollment("a", vehicle_id=None, camera_id=None, captured_at=None, view=None, tags=(), strips=None)
    )
    assert (record.vehicle_id, record.camera_id, record.captured_at, record.view) == (None,) * 4
    assert record.tags == ()
    assert gallery.get("a") == record
    [[match]] = gallery.search(enrollment("a").descriptor[np.newaxis], k=1, strips=1)
    assert (match.record, match.strips) == (record, None)


def test_times_come_back_in_utc_to_the_microsecond(open_any: OpenAny) -> None:
    moment = datetime(1969, 7, 20, 22, 17, 40, 999999, tzinfo=timezone(timedelta(hours=2)))
    record = open_any().enroll(enrollment("a", captured_at=moment, enrolled_at=moment))
    assert record.captured_at == record.enrolled_at == moment
    assert record.enrolled_at.utcoffset() == timedelta(0)


def test_strips_of_records_are_given_in_the_order_asked_and_none_where_there_are_none(
    open_gallery: Open,
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b"), enrollment("c", strips=None)])
    [matches] = gallery.search(enrollment("a").descriptor[np.newaxis], k=3)
    number = {match.record.image_id: match.record_id for match in matches}
    gallery.delete("a")
    gallery.enroll(enrollment("a", strips=enrollment("z").strips))
    b, of_the_past, without, again = gallery.strips([number["b"], number["a"], number["c"], number["b"]])
    assert of_the_past is without is None
    np.testing.assert_array_equal(np.asarray(b), np.asarray(enrollment("b").strips))
    np.testing.assert_array_equal(np.asarray(b), np.asarray(again))
    assert gallery.strips([]) == []


def test_pages_follow_the_order_of_enrollment_and_the_last_has_no_next(open_any: OpenAny) -> None:
    gallery = open_any()
    assert gallery.page().records == ()
    assert gallery.page().next is None
    names = [f"{n * 7 % 10}" for n in range(10)]
    gallery.enroll_many([enrollment(name) for name in names])
    for limit in (1, 3, 5, 10, 11):
        assert _listed(gallery, limit) == names
    assert gallery.page(after=2**80).records == ()
    with pytest.raises(ValueError, match="limit is 0"):
        gallery.page(limit=0)


def test_a_cursor_stays_good_when_the_image_it_came_from_is_deleted(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment(name) for name in "abcd"])
    page = gallery.page(limit=2)
    gallery.delete("b")
    gallery.enroll(enrollment("b"))
    assert [record.image_id for record in gallery.page(after=page.next).records] == ["c", "d", "b"]


def test_a_deleted_image_is_gone_everywhere_and_stays_gone(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    gallery.delete("a")
    for _ in range(2):
        assert gallery.count() == 1
        assert _listed(gallery, 10) == ["b"]
        [matches] = gallery.search(enrollment("a").descriptor[np.newaxis], k=5)
        assert [match.record.image_id for match in matches] == ["b"]
        for call in (gallery.get, gallery.image, gallery.delete):
            with pytest.raises(UnknownImageError, match="'a' is not enrolled"):
                call("a")
        gallery.close()
        gallery = open_any()


def test_no_row_of_a_deleted_image_stays_in_the_database(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    gallery.delete("a")
    for table in ("record", "descriptor", "strips", "image"):
        assert gallery._store._read(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


def test_an_image_id_can_be_enrolled_again_after_deletion_with_new_content(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll(enrollment("a"))
    gallery.delete("a")
    gallery.enroll(enrollment("a", descriptor=enrollment("other").descriptor, image=b"new"))
    assert gallery.image("a") == (b"new", "image/png")
    [[match]] = gallery.search(enrollment("other").descriptor[np.newaxis], k=5)
    assert match.similarity == pytest.approx(1.0)


def test_image_ids_that_no_database_can_hold_are_unknown_and_not_an_accident(open_any: OpenAny) -> None:
    gallery = open_any()
    for image_id in ("\ud800", "a\0b"):
        for call in (gallery.get, gallery.image, gallery.delete):
            with pytest.raises(UnknownImageError):
                call(image_id)


def test_a_duplicate_is_refused_and_leaves_everything_as_it_was(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll(enrollment("a"))
    before = _contents(gallery)
    with pytest.raises(DuplicateImageError, match="'a' is already enrolled") as caught:
        gallery.enroll(enrollment("a", image=b"other", descriptor=enrollment("z").descriptor))
    assert caught.value.image_id == "a"
    with pytest.raises(DuplicateImageError):
        gallery.enroll_many([enrollment("b"), enrollment("a"), enrollment("c")])
    with pytest.raises(DuplicateImageError, match="'c'"):
        gallery.enroll_many([enrollment("b"), enrollment("c"), enrollment("c")])
    assert _contents(gallery) == before
    [matches] = gallery.search(enrollment("z").descriptor[np.newaxis], k=5)
    assert [match.record.image_id for match in matches] == ["a"]
    assert gallery.enroll(enrollment("b")).image_id == "b"


def test_enrolling_nothing_is_allowed_and_changes_nothing(open_any: OpenAny) -> None:
    gallery = open_any()
    assert gallery.enroll_many([]) == []
    assert gallery.count() == 0


def test_an_enrollment_that_does_not_fit_is_refused_by_field_and_changes_nothing(open_any: OpenAny) -> None:
    gallery = open_any()
    for field, value, expectation in MISFITS:
        with pytest.raises(InvalidEnrollmentError) as caught:
            gallery.enroll_many([enrollment("good"), enrollment("bad", **{field: value})])
        assert caught.value.field == field
        assert expectation in caught.value.expectation
        assert len(caught.value.value) <= 100
        assert str(caught.value) == f"{field} is {caught.value.value}, expected {caught.value.expectation}"
    assert gallery.count() == 0


def test_a_gallery_without_strips_refuses_them_and_takes_none(open_any: OpenAny) -> None:
    gallery = open_any(descriptor_dim=257, strips_shape=None)
    descriptor = np.eye(1, 257, dtype=np.float32)
    with pytest.raises(InvalidEnrollmentError, match="stores no strips"):
        gallery.enroll(enrollment("a", descriptor=descriptor[0]))
    gallery.enroll(enrollment("a", descriptor=descriptor[0], strips=None))
    [[match]] = gallery.search(descriptor, k=1, strips=1)
    assert match.strips is None


def test_a_closed_gallery_says_so_and_closing_twice_is_harmless(open_any: OpenAny) -> None:
    gallery = open_any()
    with gallery:
        gallery.enroll(enrollment("a"))
    gallery.close()
    calls: list[Callable[[], object]] = [
        gallery.count,
        gallery.page,
        gallery.fault,
        lambda: gallery.get("a"),
        lambda: gallery.image("a"),
        lambda: gallery.delete("a"),
        lambda: gallery.enroll(enrollment("b")),
        lambda: gallery.enroll_many([]),
        lambda: gallery.search(enrollment("a").descriptor[np.newaxis], k=1),
    ]
    for call in calls:
        with pytest.raises(GalleryClosedError):
            call()


def test_a_closed_gallery_gives_no_strips_and_writes_no_snapshot(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.close()
    calls: list[Callable[[], object]] = [gallery.snapshot, lambda: gallery.strips([1])]
    for call in calls:
        with pytest.raises(GalleryClosedError):
            call()


def test_a_gallery_can_be_described_while_it_is_open_or_closed(open_gallery: Open, folder: Path) -> None:
    header = GalleryHeader("model-a", 8, (2, 3))
    with open_gallery() as gallery:
        assert gallery.header == header
        assert LocalGallery.describe(folder) == header
    assert LocalGallery.describe(folder) == header
    with pytest.raises(FileNotFoundError, match="no gallery"):
        LocalGallery.describe(folder / "elsewhere")
