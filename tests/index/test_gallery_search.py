"""Search is exact: brute force in numpy is the oracle, whatever was enrolled, deleted and reopened."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray

from index import ALL, Filter, InvalidFilterError, InvalidProbeError, LocalGallery
from index.database.descriptors import as_stored
from index.database.moment import Moment
from index.vectors.flat import Flat
from index.vectors.snapshot import MANIFEST
from index.vectors.vectors import Vectors
from tests.index.samples import AnyGallery, Open, OpenAny, enrollment

Vector = NDArray[np.float32]

# Few directions, so that equal descriptors and ties are common.
DIRECTIONS = st.lists(st.integers(-1, 1), min_size=8, max_size=8).filter(any)


def _unit(values: Any) -> Vector:
    vector = np.asarray(values, dtype=np.float64)
    return np.asarray(vector / np.linalg.norm(vector, axis=-1, keepdims=True), dtype=np.float32)


def _brute_force(enrolled: dict[str, Vector], probe: Vector, k: int) -> list[tuple[str, float]]:
    names = list(enrolled)
    if not names:
        return []
    stored = as_stored(np.stack(list(enrolled.values())))
    products = stored.astype(np.float64) * probe.astype(np.float64)
    similarities = products.sum(axis=1)
    best = np.argsort(-similarities, kind="stable")[:k]
    return [(names[row], float(similarities[row])) for row in best]


def _found(gallery: AnyGallery, probes: Vector, k: int) -> list[list[tuple[str, float]]]:
    return [
        [(match.record.image_id, match.similarity) for match in matches]
        for matches in gallery.search(probes, k)
    ]


class GalleryMachine(RuleBasedStateMachine):
    """A gallery beside a dict that says what it must hold, in order of enrollment."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.enrolled: dict[str, Vector] = {}
        self.named = 0
        self.gallery = self.opened()

    def opened(self) -> LocalGallery:
        return LocalGallery.open(
            self.folder, fingerprint="model-a", descriptor_dim=8, strips_shape=(2, 3), snapshot_every=7
        )

    @rule(directions=st.lists(DIRECTIONS, min_size=1, max_size=4))
    def enroll(self, directions: list[list[int]]) -> None:
        enrollments = []
        for direction in directions:
            self.named += 1
            enrollments.append(enrollment(f"image-{self.named}", descriptor=_unit(direction)))
        self.gallery.enroll_many(enrollments)
        self.enrolled |= {enrollment.image_id: enrollment.descriptor for enrollment in enrollments}

    @precondition(lambda self: self.enrolled)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        image_id = data.draw(st.sampled_from(list(self.enrolled)))
        self.gallery.delete(image_id)
        del self.enrolled[image_id]

    @precondition(lambda self: self.enrolled)
    @rule(data=st.data(), direction=DIRECTIONS)
    def enroll_again(self, data: st.DataObject, direction: list[int]) -> None:
        image_id = data.draw(st.sampled_from(list(self.enrolled)))
        self.gallery.delete(image_id)
        self.gallery.enroll(enrollment(image_id, descriptor=_unit(direction)))
        del self.enrolled[image_id]
        self.enrolled[image_id] = _unit(direction)

    @rule(directions=st.lists(DIRECTIONS, max_size=3), k=st.integers(1, 12))
    def search(self, directions: list[list[int]], k: int) -> None:
        probes = _unit(np.array(directions or np.empty((0, 8))))
        expected = [_brute_force(self.enrolled, probe, k) for probe in probes]
        assert _found(self.gallery, probes, k) == expected

    @rule()
    def snapshot(self) -> None:
        self.gallery.snapshot()

    @rule(lose_snapshot=st.booleans())
    def reopen(self, lose_snapshot: bool) -> None:
        self.gallery.close()
        if lose_snapshot:
            (self.folder / "snapshot" / MANIFEST).unlink(missing_ok=True)
        self.gallery = self.opened()

    @invariant()
    def holds_what_it_must(self) -> None:
        assert self.gallery.count() == len(self.enrolled)
        assert [record.image_id for record in self.gallery.page().records] == list(self.enrolled)[:100]

    def teardown(self) -> None:
        self.gallery.close()
        shutil.rmtree(self.folder)


@pytest.mark.slow
def test_search_equals_brute_force_over_random_histories() -> None:
    run_state_machine_as_test(
        GalleryMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        ),
    )


def test_an_empty_gallery_answers_with_empty_lists_and_no_probes_with_no_answers(open_any: OpenAny) -> None:
    gallery, probe = open_any(), enrollment("a").descriptor
    assert gallery.search(np.stack([probe, probe]), k=10) == [[], []]
    gallery.enroll(enrollment("a"))
    assert gallery.search(np.empty((0, 8), np.float32), k=10) == []


def test_equal_descriptors_come_in_order_of_enrollment_at_the_last_place_too(open_any: OpenAny) -> None:
    gallery = open_any()
    same = _unit(range(1, 9))
    names = [f"{n * 37 % 101}" for n in range(101)]
    gallery.enroll_many([enrollment(name, descriptor=same) for name in names])
    for probe in (same, _unit([1, 1, 0, 0, 0, 0, 0, -1])):
        for k in (1, 10, 90, 101, 200):
            [matches] = gallery.search(probe[np.newaxis], k)
            assert [match.record.image_id for match in matches] == names[:k]
            assert len({match.similarity for match in matches}) == 1


def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(open_any: OpenAny) -> None:
    random = np.random.default_rng(5)
    gallery = open_any(descriptor_dim=257, strips_shape=None)
    enrolled = {f"{n}": _unit(random.standard_normal(257)) for n in range(120)}
    enrolled |= {f"again-{name}": vector for name, vector in list(enrolled.items())[:60]}
    gallery.enroll_many(
        [enrollment(name, descriptor=vector, strips=None) for name, vector in enrolled.items()]
    )
    probes = _unit(random.standard_normal((40, 257)))
    together = _found(gallery, probes, 15)
    alone = [_found(gallery, probe[np.newaxis], 15)[0] for probe in probes]
    assert together == alone == [_brute_force(enrolled, probe, 15) for probe in probes]


def test_descriptors_that_float32_sums_cannot_tell_apart_are_still_ranked_right(open_any: OpenAny) -> None:
    random = np.random.default_rng(0)
    probe = random.standard_normal(257)
    gallery = open_any(descriptor_dim=257, strips_shape=None)
    # Stored as float16, they differ in a few numbers by one unit at the last place.
    enrolled = {f"{n}": _unit(probe + 1e-5 * random.standard_normal(257)) for n in range(300)}
    gallery.enroll_many(
        [enrollment(name, descriptor=vector, strips=None) for name, vector in enrolled.items()]
    )
    [found] = _found(gallery, _unit(probe[np.newaxis]), 10)
    assert found == _brute_force(enrolled, _unit(probe), 10)


@settings(max_examples=15, deadline=None, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    copies=st.lists(st.integers(1, 120), min_size=1, max_size=20),
    near=st.integers(0, 150),
    k=st.integers(1, 40),
)
def test_many_copies_and_near_copies_are_ranked_as_brute_force_does(
    seed: int, copies: list[int], near: int, k: int
) -> None:
    """More ties at the k-th place than are fetched, and more distinct ones than are looked for."""
    random = np.random.default_rng(seed)
    probe = random.standard_normal(257)
    rows = [np.tile(_unit(probe + 1e-7 * random.standard_normal(257)), (count, 1)) for count in copies]
    rows.append(_unit(probe + 1e-7 * random.standard_normal((near, 257))))
    descriptors = random.permutation(np.concatenate(rows))
    ids = random.permutation(3 * len(descriptors))[: len(descriptors)].astype(np.int64)
    vectors = Vectors(Flat(257))
    vectors.add(ids, descriptors, sequence=1)
    probes = _unit(np.stack([probe, random.standard_normal(257), probe + 1e-7]))
    for asked, ranking in zip(probes, vectors.search(probes, k), strict=True):
        similarities = (descriptors.astype(np.float64) * asked.astype(np.float64)).sum(axis=1)
        best = np.lexsort((ids, -similarities))[:k]
        assert ranking.ids.tolist() == ids[best].tolist()
        assert ranking.similarities.tolist() == similarities[best].tolist()


def test_copies_are_known_apart_after_some_are_removed_and_the_index_is_filled_anew() -> None:
    random = np.random.default_rng(7)
    probe, other = _unit(random.standard_normal((2, 257)))
    vectors = Vectors(Flat(257))
    for round_ in range(3):
        ids = np.arange(100, dtype=np.int64)
        rows = np.stack([probe if number % 3 == round_ else other for number in range(100)])
        vectors.add(ids, rows, sequence=1)
        expected = [number for number in range(100) if number % 3 == round_]
        [found] = vectors.search(probe[np.newaxis], 20)
        assert found.ids.tolist() == expected[:20]
        vectors.remove(ids[expected[:5]], sequence=2)
        vectors.add(
            ids[expected[:5]], rows[[number for number in range(100) if number % 3 != round_][:5]], sequence=3
        )
        [found] = vectors.search(probe[np.newaxis], 20)
        assert found.ids.tolist() == expected[5:25]
        vectors.clear()
        vectors.reach(0)


def test_so_many_of_the_first_matches_come_with_strips(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment(name) for name in "abcde"])
    probes = np.stack([enrollment(name).descriptor for name in "ab"])
    for first in (0, 2, 5, 9):
        for matches in gallery.search(probes, k=5, strips=first):
            given = [match.strips for match in matches]
            # One that is among the first for another probe of the batch may have them too.
            assert all(strips is not None for strips in given[:first])
            for match in matches:
                if match.strips is not None:
                    np.testing.assert_array_equal(
                        match.strips, np.asarray(enrollment(match.record.image_id).strips)
                    )
    assert all(match.strips is None for match in gallery.search(probes[:1], k=5, strips=2)[0][2:])
    with pytest.raises(ValueError, match="strips is -1"):
        gallery.search(probes, k=5, strips=-1)


@dataclass(frozen=True)
class _Unknown(Filter):
    colours: frozenset[str] | None = None


def test_a_filter_whose_conditions_would_be_ignored_is_refused(open_any: OpenAny) -> None:
    gallery = open_any()
    wrong: list[Any] = [None, "camera-7", _Unknown(colours=frozenset({"red"}))]
    for where in wrong:
        with pytest.raises(InvalidFilterError, match="expected a Filter"):
            gallery.search(enrollment("a").descriptor[np.newaxis], k=1, where=where)


def test_equal_filters_are_one_key() -> None:
    assert len({ALL, Filter()}) == 1


def test_probes_that_are_no_descriptors_and_a_k_below_one_are_refused(open_any: OpenAny) -> None:
    gallery = open_any()
    wrong: list[Any] = [
        np.ones(8, np.float32),
        np.ones((1, 7), np.float32),
        np.ones((1, 8)),
        np.ones((1, 8), np.float32),
        np.full((1, 8), np.nan, np.float32),
        [[1.0] + [0.0] * 7],
    ]
    for probes in wrong:
        with pytest.raises(InvalidProbeError, match=r"expected float32 \[B, 8\]"):
            gallery.search(probes, k=1)
    with pytest.raises(ValueError, match="k is 0"):
        gallery.search(enrollment("a").descriptor[np.newaxis], k=0)


def test_a_record_deleted_during_a_search_is_left_out_and_k_are_still_found(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    enrolled = {name: enrollment(name).descriptor for name in "abcdefghij"}
    gallery.enroll_many([enrollment(name) for name in enrolled])
    probe = enrollment("probe").descriptor
    ranking = [name for name, _ in _brute_force(enrolled, probe, 10)]
    rank = gallery._mirror.rank

    def rank_then_delete(probes: Vector, cameras: Sequence[str | None], k: int, among: None) -> Any:
        found = rank(probes, cameras, k, among)
        for name in ranking[:3]:
            if name in enrolled:
                gallery.delete(name)
                del enrolled[name]
        return found

    monkeypatch.setattr(gallery._mirror, "rank", rank_then_delete)
    [matches] = gallery.search(probe[np.newaxis], k=4)
    assert [match.record.image_id for match in matches] == ranking[3:7]


@pytest.mark.parametrize("between", ["ranking and records", "records and strips"])
def test_an_image_enrolled_anew_during_a_search_lends_nothing_to_the_one_that_was_found(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment(name) for name in "abcde"])
    old, new = enrollment("a"), enrollment("a", **_embedding("z"), vehicle_id="another")
    changed: list[bool] = []

    def change() -> None:
        if not changed:
            changed.append(True)
            gallery.delete("a")
            gallery.enroll(new)

    rank, strips = gallery._mirror.rank, Moment.strips

    def rank_then_change(probes: Vector, cameras: Sequence[str | None], k: int, among: None) -> Any:
        found = rank(probes, cameras, k, among)
        change()
        return found

    def change_then_fetch(moment: Moment, ids: set[int]) -> Any:
        change()
        return strips(moment, ids)

    if between == "ranking and records":
        monkeypatch.setattr(gallery._mirror, "rank", rank_then_change)
    else:
        monkeypatch.setattr(Moment, "strips", change_then_fetch)
    [matches] = gallery.search(old.descriptor[np.newaxis], k=5, strips=5)
    assert len(matches) == 5
    [match] = [match for match in matches if match.record.image_id == "a"]
    # Ranked again, the new one is found as itself; fetched later, the old one is still itself.
    expected = new if between == "ranking and records" else old
    assert match.record.vehicle_id == expected.vehicle_id
    [similarity] = as_stored(expected.descriptor[np.newaxis]) @ old.descriptor
    assert match.similarity == pytest.approx(float(similarity))
    np.testing.assert_array_equal(np.asarray(match.strips), np.asarray(expected.strips))


def _embedding(name: str) -> dict[str, Any]:
    other = enrollment(name)
    return {"descriptor": other.descriptor, "strips": other.strips}
