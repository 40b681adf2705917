"""A filter as an expression of Milvus lets through what `Filter.admits` does, whatever signs are in its "
"texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from index import Filter, InvalidEnrollmentError, UnknownImageError
from index.filter import SETS, TIMES
from index.milvus.expression import EVERYTHING, expression
from tests.index.milvus.kept import OnMilvus
from tests.index.samples import enrollment

NOON = datetime(1969, 7, 20, 12, tzinfo=UTC)
TEXTS = (
    "",
    "a",
    "ä\"'[]%_",
    "back\\slash",
    "new\nline\t",
    "\x01\x7f",
    "😀 日本",
    "{x}",
    "b' or record_id >= 0",
)


def _of(random: np.random.Generator, *values: Any) -> Any:
    return values[random.integers(len(values))]


@pytest.mark.milvus
def test_any_filter_lets_through_what_it_admits(on_milvus: OnMilvus) -> None:
    random = np.random.default_rng(11)
    gallery = on_milvus()
    gallery.enroll_many(
        [
            enrollment(
                f"{number}",
                camera_id=_of(random, None, *TEXTS),
                vehicle_id=_of(random, None, *TEXTS),
                view=_of(random, None, "a", ""),
                vehicle_type=_of(random, None, "a", "bus"),
                captured_at=_of(random, None, NOON + timedelta(minutes=number)),
                tags=tuple(text for text in TEXTS if random.random() < 0.3),
            )
            for number in range(80)
        ]
    )
    records = gallery.page(limit=100).records
    probe = enrollment("x").descriptor[np.newaxis]
    [everything] = gallery.search(probe, 100)
    admitted = 0
    for _ in range(60):
        chosen: dict[str, Any] = {}
        for field in random.choice([*SETS, *TIMES], size=random.integers(0, 4), replace=False).tolist():
            if field in TIMES:
                chosen[field] = NOON + timedelta(minutes=int(random.integers(-5, 85)))
            else:
                size = random.integers(0, 4)
                chosen[field] = frozenset(random.choice([*TEXTS, "unheard of"], size=size).tolist())
        where = Filter(**chosen)
        expected = [record for record in records if where.admits(record)]
        admitted += len(expected)
        assert list(gallery.page(limit=100, where=where).records) == expected, where
        [found] = gallery.search(probe, 10, where=where)
        assert found == [match for match in everything if where.admits(match.record)][:10], where
        assert found.searched == (None if where.is_all() else len(expected)), where
    assert admitted > 100


@pytest.mark.milvus
def test_text_that_the_engine_has_no_room_for_is_refused_by_field(on_milvus: OnMilvus) -> None:
    gallery = on_milvus()
    for changes, field in (
        ({"vehicle_id": "x" * 4096}, "vehicle_id"),
        ({"camera_id": "ä" * 2048}, "camera_id"),
        ({"tags": ("x" * 4096,)}, "tags"),
        ({"tags": tuple(map(str, range(257)))}, "tags"),
    ):
        with pytest.raises(InvalidEnrollmentError) as caught:
            gallery.enroll(enrollment("a", **changes))
        assert caught.value.field == field
    longest = enrollment("y" * 4095, vehicle_id="ä" * 2047, tags=tuple(map(str, range(256))))
    assert gallery.enroll(longest).tags == longest.tags
    assert gallery.get("y" * 4095).vehicle_id == "ä" * 2047
    with pytest.raises(UnknownImageError):
        gallery.get("y" * 4096)


def test_no_conditions_are_every_row_and_an_empty_set_is_none() -> None:
    assert expression(Filter()) == EVERYTHING
    assert expression(Filter(not_camera_ids=frozenset())) == EVERYTHING
    assert expression(Filter(all_tags=frozenset())) == EVERYTHING
    for where in (Filter(camera_ids=frozenset()), Filter(any_tags=frozenset())):
        assert expression(where) == "record_id < 0"
