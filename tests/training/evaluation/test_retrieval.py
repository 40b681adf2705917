"""Retrieval by chunks: the same ranks as by brute force, in the memory that was planned."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.training.evaluation.rankings import brute_force
from training.evaluation.metrics import cmc, figure
from training.evaluation.result import Indices
from training.evaluation.retrieval import Floats, Side, memory_needed, plan, retrieve, storage

GIB = 2**30


def side(store: NDArray[Any], vehicles: list[str], cameras: list[str]) -> Side:
    return Side(store, np.arange(len(store)), np.array(vehicles), np.array(cameras))


def random_sides(seed: int, *, ties: bool) -> tuple[Side, Side, Floats]:
    """Queries, gallery and their similarities, which are exact in float32 in any order of summing."""
    source = np.random.default_rng(seed)
    q, g, dim = int(source.integers(1, 9)), int(source.integers(2, 30)), 6
    levels = 2 if ties else 64
    stores = [source.integers(-levels, levels + 1, (n, dim)).astype(np.float32) / 64 for n in (q, g)]
    labels = [
        ([str(v) for v in source.integers(0, 4, n)], [str(c) for c in source.integers(0, 3, n)])
        for n in (q, g)
    ]
    labels[0][0][0], labels[0][1][0], labels[1][0][0], labels[1][1][0] = "0", "0", "0", "1"
    similarities = np.asarray(stores[0] @ stores[1].T, dtype=np.float32)
    return side(stores[0], *labels[0]), side(stores[1], *labels[1]), similarities


@given(st.integers(0, 100_000), st.booleans(), st.sampled_from([1, 1000, 4000, 2**20]))
@settings(max_examples=120, deadline=None)
def test_chunks_of_any_size_agree_with_brute_force_ties_included(
    seed: int, ties: bool, workspace: int
) -> None:
    queries, gallery, similarities = random_sides(seed, ties=ties)
    found = retrieve(queries, gallery, workspace=workspace)
    labels = [
        part.tolist() for part in (queries.vehicles, queries.cameras, gallery.vehicles, gallery.cameras)
    ]
    mean_precision, curve, penalty = brute_force(similarities, *labels)
    assert figure(found, "mAP") == pytest.approx(mean_precision)
    assert cmc([found], curve) == pytest.approx(curve)
    assert figure(found, "mINP") == pytest.approx(penalty)


@given(st.integers(0, 100_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_second_stage_permutes_the_first_and_leaves_the_tail(seed: int, ties: bool) -> None:
    queries, gallery, similarities = random_sides(seed, ties=ties)
    order_of = np.random.default_rng(seed)
    lists: dict[int, list[int]] = {}

    def distances(query: int, candidates: Indices, scores: Floats) -> Floats:
        assert scores.tolist() == similarities[query, candidates].tolist()
        found = order_of.permutation(len(candidates)).astype(np.float32)
        lists[query] = candidates[np.argsort(found)].tolist()
        return found

    result = retrieve(queries, gallery, distances=distances, candidates=4)
    for query, ranks in enumerate(result.ranks):
        same = gallery.vehicles == queries.vehicles[query]
        junk = same & (gallery.cameras == queries.cameras[query])
        order = [g for g in np.argsort(-similarities[query], kind="stable").tolist() if not junk[g]]
        if query in lists:
            assert sorted(lists[query]) == sorted(order[:4])
            order[:4] = lists[query]
        assert ranks.tolist() == [place for place, g in enumerate(order, start=1) if same[g]]


def test_rows_of_a_store_may_be_chosen_and_changed() -> None:
    store = np.eye(4, dtype=np.float16)
    gallery = Side(
        store,
        np.array([2, 0]),
        np.array(["a", "b"]),
        np.array(["c2", "c2"]),
        change=lambda descriptors, rows: descriptors * (rows[:, None] + 1).astype(np.float32),
    )
    assert gallery.block(0, 2).tolist() == [[0, 0, 3, 0], [1, 0, 0, 0]]
    assert gallery.block(0, 2).dtype == np.float32
    assert gallery.block(1, 9).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_descriptors_that_are_not_finite_are_refused(wrong: float) -> None:
    store = np.ones((3, 4), dtype=np.float32)
    store[1, 2] = wrong
    queries = side(store[:1], ["a"], ["c1"])
    gallery = side(store, ["a", "b", "c"], ["c2", "c2", "c2"])
    with pytest.raises(ValueError, match="not finite"):
        retrieve(queries, gallery)


def test_queries_are_counted_as_they_are_done() -> None:
    store = np.eye(6, dtype=np.float32)
    everything = side(store, list("aabbcc"), list("121212"))
    counted: list[int] = []
    retrieve(everything, everything, workspace=1, report=counted.append)
    assert counted == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_work_stays_in_the_memory_that_was_planned(dtype: type) -> None:
    # A fiftieth of 40,000 queries and 100,000 gallery images, in a fiftieth of the workspace.
    queries_count, gallery_count, dim, workspace = 800, 2000, 512, 10 * 2**20
    source = np.random.default_rng(0)
    store: NDArray[Any] = source.normal(size=(queries_count + gallery_count, dim)).astype(dtype)
    vehicles = source.integers(0, 200, len(store)).astype(str)
    cameras = source.integers(0, 20, len(store)).astype(str)
    rows = np.arange(len(store))
    queries, gallery = (
        Side(store, rows[part], vehicles[part], cameras[part])
        for part in (slice(queries_count), slice(queries_count, None))
    )
    size = plan(queries_count, gallery_count, dim, workspace)
    assert 1 < size.queries < queries_count
    assert 1 < size.block < gallery_count
    whole_matrix = queries_count * gallery_count * 4
    tracemalloc.start()
    try:
        figure(retrieve(queries, gallery, workspace=workspace), "mAP")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What does not grow with chunk or block: labels, ranks of correct matches, Python itself.
    rest = 2**20
    assert size.workspace <= workspace
    assert peak <= size.workspace + rest
    assert peak > 0.5 * size.workspace, "the plan is far from what happens"
    assert whole_matrix > 0.5 * workspace


def test_100_000_by_40_000_fits_in_4_gib() -> None:
    queries, gallery, dim = 40_000, 100_000, 8192
    dtype = storage(queries + gallery, dim)
    assert dtype is np.float16
    needed = memory_needed(queries, gallery, dim, np.dtype(dtype).itemsize)
    assert needed <= 2.8 * GIB
    # Query expansion keeps a second set of queries.
    assert needed + queries * dim * 2 <= 3.5 * GIB
    size = plan(queries, gallery, dim)
    # The gallery is read as a whole once a chunk: chunks must not be few queries.
    assert size.queries >= 500
    assert size.block >= 1000


def test_descriptors_of_veri_776_stay_in_float32() -> None:
    assert storage(1_678 + 11_579, 8192) is np.float32
