"""The baselines of the second stage do what their publications say, one probe at a time and all at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.training.studies.baselines.reference import (
    expanded_ranking,
    k_reciprocal_distances,
    propagated_similarities,
    superglobal_ranking,
)
from training.evaluation.ranking import rank_gallery
from training.evaluation.retrieval import Side
from training.evaluation.variants import expanded
from training.studies.baselines import (
    BASELINES,
    AlphaExpansion,
    Baseline,
    Collection,
    GraphPropagation,
    KReciprocal,
    SuperGlobal,
)
from training.studies.baselines.collection import neighbours, squared_distances, with_probe
from training.studies.baselines.kreciprocal import encode

Floats = NDArray[np.float32]
# With lists as long as a small gallery every image is everyone's neighbour, and all scores are equal.
SHORT: list[Baseline] = [
    AlphaExpansion(3),
    SuperGlobal(10, 3),
    KReciprocal(6, 3),
    GraphPropagation(6, 3),
    KReciprocal(6, 3, transductive=True),
    GraphPropagation(6, 3, transductive=True),
]
BOTH_MODES = pytest.mark.parametrize("transductive", [False, True])


def clustered(count: int, seed: int, dim: int = 12, vehicles: int = 8, noise: float = 0.5) -> Floats:
    """Descriptors around some vehicles' directions, so that neighbours are reciprocal here and there."""
    source = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(vehicles, dim))
    found = centres[source.integers(vehicles, size=count)] + noise * source.normal(size=(count, dim))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found, dtype=np.float32)


def first_stage(queries: Floats, gallery: Floats) -> NDArray[np.intp]:
    return rank_gallery(queries @ gallery.T)


def assert_ranks_by(ranking: NDArray[np.intp], scores: NDArray[np.float64], slack: float = 1e-5) -> None:
    """The ranking is that of the scores, higher first; scores nearer than `slack` may swap."""
    np.testing.assert_array_equal(
        np.sort(ranking, axis=1), np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    )
    assert (np.diff(np.take_along_axis(scores, ranking, axis=1), axis=1) <= slack).all()


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(5, 1, 0.3), (6, 3, 0.3), (7, 3, 0.0), (20, 6, 0.3), (80, 16, 0.5)]
)
@BOTH_MODES
def test_k_reciprocal_is_the_published_algorithm(k1: int, k2: int, weight: float, transductive: bool) -> None:
    queries, gallery = clustered(7, 0), clustered(30, 1)
    baseline = KReciprocal(k1, k2, weight, transductive)
    ranking = baseline.rank(queries, Collection(gallery))
    if transductive:
        wanted = k_reciprocal_distances(queries, gallery, k1, k2, weight)
    else:
        alone = [k_reciprocal_distances(q[None], gallery, k1, k2, weight) for q in queries]
        wanted = np.concatenate(alone)
    assert_ranks_by(ranking, -wanted)
    assert (ranking != first_stage(queries, gallery)).any()


@pytest.mark.parametrize(("k1", "k2"), [(5, 1), (5, 3), (12, 4), (60, 10)])
@BOTH_MODES
def test_graph_propagation_is_the_published_algorithm(k1: int, k2: int, transductive: bool) -> None:
    queries, gallery = clustered(7, 0), clustered(30, 1)
    ranking = GraphPropagation(k1, k2, transductive=transductive).rank(queries, Collection(gallery))
    if transductive:
        wanted = propagated_similarities(queries, gallery, k1, k2, 2)
    else:
        wanted = np.concatenate([propagated_similarities(q[None], gallery, k1, k2, 2) for q in queries])
    assert_ranks_by(ranking, wanted)
    if k2 > 1:
        assert (ranking != first_stage(queries, gallery)).any()


@pytest.mark.parametrize(
    ("candidates", "count", "beta"), [(10, 3, 0.15), (30, 9, 0.15), (400, 9, 0.5), (5, 9, 1.0)]
)
def test_superglobal_is_the_published_algorithm(candidates: int, count: int, beta: float) -> None:
    queries, gallery = clustered(7, 0), clustered(30, 1)
    ranking = SuperGlobal(candidates, count, beta).rank(queries, Collection(gallery))
    wanted = [superglobal_ranking(q, gallery, candidates, count, beta) for q in queries]
    assert ranking.tolist() == wanted
    assert (ranking != first_stage(queries, gallery)).any()


@pytest.mark.parametrize(("count", "alpha"), [(1, 0.0), (3, 3.0), (10, 1.0), (99, 3.0)])
def test_alpha_expansion_is_the_published_algorithm(count: int, alpha: float) -> None:
    queries, gallery = clustered(7, 0), clustered(30, 1)
    ranking = AlphaExpansion(count, alpha).rank(queries, Collection(gallery))
    assert ranking.tolist() == [expanded_ranking(q, gallery, count, alpha) for q in queries]


def test_alpha_expansion_agrees_with_the_evaluations_own() -> None:
    queries, gallery = clustered(7, 0), clustered(30, 1)

    def side(descriptors: Floats, camera: str) -> Side:
        count = len(descriptors)
        return Side(descriptors, np.arange(count), np.full(count, "v"), np.full(count, camera))

    asked = expanded(side(queries, "a"), side(gallery, "b"), neighbours=4, alpha=2.0)
    wanted = rank_gallery(np.asarray(asked.store, dtype=np.float32) @ gallery.T)
    np.testing.assert_array_equal(AlphaExpansion(4, 2.0).rank(queries, Collection(gallery)), wanted)


@pytest.mark.parametrize(
    "baseline",
    [
        AlphaExpansion(neighbours=0),
        SuperGlobal(candidates=1),
        KReciprocal(weight=1.0),
        KReciprocal(weight=1.0, transductive=True),
    ],
    ids=lambda baseline: str(baseline),
)
def test_settings_that_ask_for_nothing_keep_the_first_stage(baseline: Baseline) -> None:
    queries, gallery = clustered(9, 0), clustered(40, 1)
    np.testing.assert_array_equal(baseline.rank(queries, Collection(gallery)), first_stage(queries, gallery))
    every = first_stage(gallery, gallery)
    others = np.stack([order[order != own] for own, order in enumerate(every)])
    np.testing.assert_array_equal(baseline.rank_others(Collection(gallery)), others)


@given(
    baseline=st.sampled_from(BASELINES),
    setting=st.integers(0, 10**6),
    sizes=st.tuples(st.integers(1, 4), st.integers(2, 25)),
    copies=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=80, deadline=None)
def test_an_answer_is_a_permutation_of_the_gallery(
    baseline: Baseline, setting: int, sizes: tuple[int, int], copies: bool, seed: int
) -> None:
    grid = baseline.grid()
    chosen = grid[setting % len(grid)]
    assert (chosen.name, chosen.transductive) == (baseline.name, baseline.transductive)
    queries, gallery = clustered(sizes[0], seed), clustered(sizes[1], seed + 1)
    if copies:
        gallery[: len(gallery) // 2] = queries[0]
    for ranking in (
        chosen.rank(queries, Collection(gallery)),
        np.stack([chosen.prepared(Collection(gallery))(query) for query in queries]),
    ):
        np.testing.assert_array_equal(
            np.sort(ranking, axis=1), np.tile(np.arange(len(gallery)), (len(queries), 1))
        )
    others = chosen.rank_others(Collection(gallery))
    for own, order in enumerate(others):
        assert sorted([*order.tolist(), own]) == list(range(len(gallery)))


@given(
    seed=st.integers(0, 10**6),
    # Images with the same neighbours are equal to graph propagation, up to the order of its additions.
    baseline=st.sampled_from([p for p in SHORT if not isinstance(p, GraphPropagation)]),
)
@settings(max_examples=30, deadline=None)
def test_an_answer_does_not_depend_on_the_gallerys_order(seed: int, baseline: Baseline) -> None:
    queries, gallery = clustered(3, seed), clustered(25, seed + 1)
    shuffled = np.random.default_rng(seed).permutation(len(gallery))
    ranking = baseline.rank(queries, Collection(gallery))
    again = shuffled[baseline.rank(queries, Collection(gallery[shuffled]))]
    # What comes first decides; far away, scores differ by less than the sums' order of additions does.
    np.testing.assert_array_equal(ranking[:, 0], again[:, 0])


@pytest.mark.parametrize("baseline", SHORT, ids=lambda each: each.name)
def test_each_against_all_others_is_each_alone_with_a_gallery_without_it(baseline: Baseline) -> None:
    images = clustered(24, 3)
    ranking = baseline.rank_others(Collection(images))
    for own in range(len(images)):
        rest = np.delete(np.arange(len(images)), own)
        alone = rest[baseline.prepared(Collection(images[rest]))(images[own])]
        if isinstance(baseline, GraphPropagation):
            # Images with the same neighbours are equal, up to rounding, and may swap.
            scores = propagated_similarities(images[own : own + 1], images[rest], baseline.k1, baseline.k2, 2)
            for order in (ranking[own], alone):
                assert_ranks_by(np.searchsorted(rest, order)[None], scores)
        else:
            np.testing.assert_array_equal(ranking[own], alone)


@pytest.mark.parametrize("baseline", [p for p in SHORT if not p.transductive], ids=lambda each: each.name)
def test_a_single_probe_does_not_see_the_other_probes(baseline: Baseline) -> None:
    queries, gallery = clustered(6, 0), Collection(clustered(30, 1))
    together = baseline.rank(queries, gallery)
    np.testing.assert_array_equal(together[:1], baseline.rank(queries[:1], gallery))


@pytest.mark.parametrize("kind", [KReciprocal, GraphPropagation])
def test_all_probes_at_once_do_see_each_other(kind: Callable[..., Baseline]) -> None:
    queries, gallery = clustered(20, 0), Collection(clustered(30, 1))
    baseline = kind(k1=10, k2=3, transductive=True)
    assert (baseline.rank(queries, gallery)[:1] != baseline.rank(queries[:1], gallery)).any()


@pytest.mark.parametrize("count", [1, 5, 20, 99])
def test_a_probe_that_comes_later_is_a_neighbour_like_any_other(count: int) -> None:
    images = clustered(20, 5)
    gallery, probe = images[:-1], images[-1]
    later = with_probe(neighbours(Collection(gallery), count), squared_distances(gallery @ probe), count)
    at_once = neighbours(Collection(images), count)
    np.testing.assert_array_equal(later.order, at_once.order)
    np.testing.assert_allclose(later.distances, at_once.distances, atol=1e-6)
    np.testing.assert_allclose(later.farthest, at_once.farthest, atol=1e-6)


def test_bounds_on_memory_change_nothing() -> None:
    images = clustered(50, 2)
    kept, computed = Collection(images), Collection(images, kept=0)
    for workspace in (1, 10**4, 10**8):
        graph = neighbours(computed, 11, workspace)
        np.testing.assert_array_equal(graph.order, neighbours(kept, 11).order)

        def pairs(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
            return squared_distances(computed.similarities(rows, columns))

        small, large = encode(graph, 10, pairs, workspace), encode(graph, 10, pairs)
        np.testing.assert_array_equal(small.columns, large.columns)
        np.testing.assert_array_equal(small.starts, large.starts)
        np.testing.assert_allclose(small.values, large.values, rtol=1e-5)
    for baseline in (SuperGlobal(10, 3), KReciprocal(10, 3), KReciprocal(10, 3, transductive=True)):
        np.testing.assert_array_equal(baseline.rank_others(kept), baseline.rank_others(computed))
        np.testing.assert_array_equal(baseline.rank(images[:5], kept), baseline.rank(images[:5], computed))


@pytest.mark.parametrize("wrong", [(5, 7, KReciprocal), (5, 6, GraphPropagation), (5, 0, GraphPropagation)])
def test_lists_too_short_for_their_use_are_refused(wrong: tuple[int, int, Callable[..., Baseline]]) -> None:
    k1, k2, kind = wrong
    with pytest.raises(ValueError, match="is not between 1 and"):
        kind(k1=k1, k2=k2)
