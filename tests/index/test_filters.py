"""A filter is exact and inside the search: brute force over the records that it admits is the oracle."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index import ALL, Filter, InvalidFilterError, LocalGallery, Record
from index.database.connections import DATABASE
from index.filter import SETS, TIMES
from index.local.mirror import Mirror
from index.upkeep.repair import rebuild
from index.upkeep.verification import verify
from index.vectors.flat import Flat
from index.vectors.ranking import Ranking
from index.vectors.vectors import Vectors
from tests.index.samples import Open, OpenAny, enrollment

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)
LABELS = ("a", "b", "ä\"'[]%_")
TAGS = ("night", "rain", "größer")
IMAGES = 120


def _one_of(random: np.random.Generator, *values: Any) -> Any:
    return values[random.integers(len(values))]


def _described(number: int, random: np.random.Generator) -> dict[str, Any]:
    return {
        "camera_id": _one_of(random, None, *LABELS),
        "vehicle_id": _one_of(random, None, *LABELS),
        "view": _one_of(random, None, *LABELS),
        "vehicle_type": _one_of(random, None, *LABELS),
        "captured_at": _one_of(random, None, NOON + timedelta(minutes=number)),
        "tags": tuple(tag for tag in TAGS if random.random() < 0.5),
    }


def _vector(random: np.random.Generator) -> NDArray[np.float32]:
    """Of few directions, so that ties are common."""
    direction = random.integers(-1, 2, 8).astype(np.float64)
    direction[random.integers(8)] = 1
    return np.asarray(direction / np.linalg.norm(direction), np.float32)


def _filled(gallery: LocalGallery) -> LocalGallery:
    """The gallery with IMAGES images, a few of many deleted, some of them enrolled after a snapshot."""
    random = np.random.default_rng(3)
    enrollments = [
        enrollment(f"{n}", descriptor=_vector(random), **_described(n, random)) for n in range(IMAGES + 20)
    ]
    gallery.enroll_many(enrollments[:100])
    for number in range(0, 100, 5):
        gallery.delete(f"{number}")
    gallery.snapshot()
    gallery.enroll_many(enrollments[100:])
    return gallery


@pytest.fixture(scope="module", params=["off", "on"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGallery]:
    """A gallery reopened from a snapshot and what came after it, with and without camera normalisation."""
    folder = tmp_path_factory.mktemp("gallery")
    opening: dict[str, Any] = {
        "fingerprint": "model-a",
        "descriptor_dim": 8,
        "strips_shape": (2, 3),
        "normalisation": request.param,
    }
    with LocalGallery.open(folder, **opening) as gallery:
        _filled(gallery)
        gallery.cameras.wait()
    with LocalGallery.open(folder, **opening) as gallery:
        assert gallery.cameras.normalisation().is_raw == (request.param == "off")
        yield gallery


SOME = st.one_of(st.none(), st.frozensets(st.sampled_from((*LABELS, "unheard of")), max_size=3))
TIME = st.one_of(
    st.none(), st.integers(-5, IMAGES + 25).map(lambda minutes: NOON + timedelta(minutes=minutes))
)
SOME_TAGS = st.one_of(st.none(), st.frozensets(st.sampled_from((*TAGS, "unheard of")), max_size=2))
# Few conditions at a time, so that most filters let something through.
FILTERS = st.dictionaries(st.sampled_from((*SETS, *TIMES)), st.just(None), max_size=3).flatmap(
    lambda chosen: st.builds(
        Filter,
        **{
            field: TIME if field in TIMES else SOME_TAGS if field.endswith("tags") else SOME
            for field in chosen
        },
    )
)


def _records(gallery: LocalGallery) -> list[Record]:
    return list(gallery.page(limit=2 * IMAGES).records)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, database=None)
@given(where=FILTERS, seed=st.integers(0, 50), k=st.sampled_from((1, 3, 20, 60, 200)))
def test_a_filtered_search_is_the_unfiltered_ranking_of_those_it_admits(
    filled: LocalGallery, where: Filter, seed: int, k: int
) -> None:
    """Of all images the ranking is known to be right: see `test_gallery_search.py`."""
    random = np.random.default_rng(seed)
    probes = np.stack([_vector(random) for _ in range(seed % 6 + 1)])
    cameras = [_one_of(random, None, *LABELS) for _ in probes]
    everything = filled.search(probes, 2 * IMAGES, cameras=cameras)
    expected = [[match for match in matches if where.admits(match.record)][:k] for matches in everything]
    assert filled.search(probes, k, where=where, cameras=cameras) == expected


@settings(max_examples=50, deadline=None, database=None)
@given(where=FILTERS, limit=st.integers(1, 50))
def test_a_listing_and_a_count_are_of_the_records_that_a_filter_admits(
    filled: LocalGallery, where: Filter, limit: int
) -> None:
    expected = [record for record in _records(filled) if where.admits(record)]
    assert filled.count(where) == len(expected)
    found: list[Record] = []
    after: int | None = None
    while True:
        page = filled.page(after, limit, where=where)
        found += page.records
        after = page.next
        if after is None:
            break
        assert len(page.records) == limit
    assert found == expected


@settings(max_examples=40, deadline=None, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    copies=st.lists(st.integers(1, 120), min_size=1, max_size=12),
    share=st.floats(0, 1),
    far=st.booleans(),
    k=st.integers(1, 40),
)
def test_many_copies_among_the_selected_are_ranked_as_brute_force_does(
    seed: int, copies: list[int], share: float, far: bool, k: int
) -> None:
    """With ids so far apart that a bitmap would be too large, and with ids that the index does not hold."""
    random = np.random.default_rng(seed)
    probe = random.standard_normal(257)
    distinct = [probe + 1e-7 * random.standard_normal(257) for _ in copies]
    rows = np.repeat(np.stack(distinct), copies, axis=0)
    rows = random.permutation(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    ids = random.permutation(4 * len(rows))[: len(rows)].astype(np.int64) * (1_000_003 if far else 1)
    vectors = Vectors(Flat(257))
    descriptors: NDArray[np.float32] = rows.astype(np.float32)
    vectors.add(ids, descriptors, sequence=1)
    chosen = ids[random.random(len(ids)) < share]
    among = np.sort(np.concatenate([chosen, ids.max() + 1 + np.arange(3)]))
    asked = (probe / np.linalg.norm(probe)).astype(np.float32)
    [ranking] = vectors.search(asked[np.newaxis], k, among)
    allowed = np.isin(ids, among)
    similarities = (descriptors.astype(np.float64) * asked.astype(np.float64)).sum(axis=1)[allowed]
    best = np.lexsort((ids[allowed], -similarities))[:k]
    assert ranking.ids.tolist() == ids[allowed][best].tolist()
    assert ranking.similarities.tolist() == similarities[best].tolist()


def test_a_window_is_from_a_time_on_and_before_another_in_any_time_zone(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many(
        [enrollment(f"{minute}", captured_at=NOON + timedelta(minutes=minute)) for minute in range(4)]
    )
    berlin = timezone(timedelta(hours=2))
    where = Filter(
        captured_from=(NOON + timedelta(minutes=1)).astimezone(berlin),
        captured_to=(NOON + timedelta(minutes=3)).astimezone(berlin),
    )
    assert [record.image_id for record in gallery.page(where=where).records] == ["1", "2"]


def test_a_condition_may_have_more_values_than_a_record_and_a_thousand_of_them(open_any: OpenAny) -> None:
    gallery = open_any()
    tags = tuple(f"größer, {number}" for number in range(1001))
    gallery.enroll_many([enrollment("a", tags=tags[:250]), enrollment("b", tags=("other",))])
    ids = frozenset(f"vehicle of {name}" for name in ("a", *map(str, range(1000))))
    for where, found in (
        (Filter(all_tags=frozenset(tags[:250])), ["a"]),
        (Filter(all_tags=frozenset(tags)), []),
        (Filter(any_tags=frozenset(tags)), ["a"]),
        (Filter(vehicle_ids=ids), ["a"]),
        (Filter(not_camera_ids=ids), ["a", "b"]),
    ):
        assert [record.image_id for record in gallery.page(where=where).records] == found
        [matches] = gallery.search(enrollment("a").descriptor[np.newaxis], 2, where=where)
        assert (sorted(match.record.image_id for match in matches), matches.searched) == (found, len(found))


def test_a_record_that_no_longer_meets_the_filter_when_it_is_read_is_left_out(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment(name, view="front") for name in "abcdef"])
    where = Filter(views=frozenset({"front"}))
    probe = enrollment("a").descriptor[np.newaxis]
    [before] = gallery.search(probe, 6, where=where)
    rank, changed = Mirror.rank, before[1].record.image_id

    def rank_then_change(*given: Any) -> Any:
        found = rank(*given)
        if gallery.count() == 6:
            gallery.delete(changed)
            gallery.enroll(enrollment(changed, view="rear"))
            gallery.enroll(enrollment("g", view="rear"))
        return found

    monkeypatch.setattr(Mirror, "rank", rank_then_change)
    [after] = gallery.search(probe, 6, where=where)
    assert after == [match for match in before if match.record.image_id != changed]


def test_a_condition_that_is_none_is_refused_by_its_name(open_any: OpenAny) -> None:
    gallery = open_any()
    for where, said in (
        (Filter(camera_ids=["a"]), "camera_ids"),  # type: ignore[arg-type]
        (Filter(views=frozenset({"a\0b"})), "views"),
        (Filter(any_tags=frozenset({1})), "any_tags"),  # type: ignore[arg-type]
        (Filter(captured_from=datetime(2024, 5, 17)), "captured_from"),
        (Filter(captured_to="2024"), "captured_to"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidFilterError, match=f"one with {said}"):
            gallery.search(enrollment("a").descriptor[np.newaxis], 1, where=where)
        with pytest.raises(InvalidFilterError, match=f"one with {said}"):
            gallery.page(where=where)
        with pytest.raises(InvalidFilterError, match=f"one with {said}"):
            gallery.count(where)


def test_an_empty_selection_finds_nothing_in_an_empty_index_and_in_a_full_one() -> None:
    vectors, nothing = Vectors(Flat(8)), np.empty(0, np.int64)
    probe = enrollment("a").descriptor[np.newaxis]
    for _ in range(2):
        for among in (nothing, np.array([77], np.int64)):
            assert [ranking.ids.tolist() for ranking in vectors.search(probe, 3, among)] == [[]]
        vectors.add(np.array([1], np.int64), probe, sequence=1)
        assert isinstance(vectors.search(probe, 3)[0], Ranking)


def test_tags_in_the_index_that_are_not_the_records_are_found_and_mended(
    open_gallery: Open, folder: Path
) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment("a", tags=("x",)), enrollment("b", tags=("y",))])
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE tag SET tag = 'z' WHERE tag = 'x'")
        connection.commit()
    assert [finding.text for finding in verify(folder).findings] == [
        "image_id 'a': filters find it by other tags than it has; `lka-reid gallery rebuild` mends that"
    ]
    rebuild(folder)
    assert verify(folder).findings == []
    with open_gallery() as gallery:
        assert gallery.count(Filter(any_tags=frozenset({"x"}))) == 1


def test_a_deleted_image_is_in_no_filter(open_gallery: Open, folder: Path) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name, vehicle_type="bus") for name in "ab"])
        gallery.delete("a")
        assert gallery.count(Filter(vehicle_types=frozenset({"bus"}), any_tags=frozenset({"bus"}))) == 1
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        assert connection.execute("SELECT count(DISTINCT record_id) FROM tag").fetchone() == (1,)


def test_all_is_the_filter_without_conditions() -> None:
    assert ALL.is_all()
    assert not Filter(camera_ids=frozenset()).is_all()
