from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from training.evaluation import accuracy, rank_gallery


def brute_force(
    similarities: np.ndarray, qv: list[str], qc: list[str], gv: list[str], gc: list[str]
) -> tuple[float, dict[int, float], float]:
    """mAP, CMC and mINP by loops, written without a look at the code under test."""
    precisions, penalties = [], []
    within: dict[int, list[bool]] = {1: [], 5: [], 10: []}
    for q in range(len(qv)):
        order = sorted(range(len(gv)), key=lambda g: -similarities[q][g])
        order = [g for g in order if not (gv[g] == qv[q] and gc[g] == qc[q])]
        hits, found = 0, []
        for place, g in enumerate(order, start=1):
            if gv[g] == qv[q]:
                hits += 1
                found.append(hits / place)
        if found:
            precisions.append(sum(found) / len(found))
            places = [place for place, g in enumerate(order, start=1) if gv[g] == qv[q]]
            penalties.append(len(places) / places[-1])
            for rank, list_ in within.items():
                list_.append(any(gv[g] == qv[q] for g in order[:rank]))
    cmc = {rank: 100 * sum(list_) / len(list_) for rank, list_ in within.items()}
    return 100 * sum(precisions) / len(precisions), cmc, 100 * sum(penalties) / len(penalties)


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_every_figure_agrees_with_brute_force(seed: int) -> None:
    source = np.random.default_rng(seed)
    q, g = int(source.integers(1, 8)), int(source.integers(2, 20))
    qv, gv = ([str(v) for v in source.integers(0, 4, n)] for n in (q, g))
    qc, gc = ([str(c) for c in source.integers(0, 3, n)] for n in (q, g))
    # One query is sure to have an answer.
    qv[0], qc[0], gv[0], gc[0] = "0", "0", "0", "1"
    similarities = source.permutation(q * g).reshape(q, g).astype(float)
    mean_precision, cmc, penalty = brute_force(similarities, qv, qc, gv, gc)
    found = accuracy(rank_gallery(similarities), qv, qc, gv, gc)
    assert found.mAP == pytest.approx(mean_precision)
    assert found.cmc == pytest.approx(cmc)
    assert found.mINP == pytest.approx(penalty)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_average_precision_is_scikit_learns(seed: int) -> None:
    source = np.random.default_rng(seed)
    right = source.random(int(source.integers(2, 40))) < 0.3
    right[0] = True
    similarities = source.permutation(len(right)).astype(float)
    ranking = rank_gallery(similarities[None])
    vehicles = ["right" if r else "wrong" for r in right]
    found = accuracy(ranking, ["right"], ["c1"], vehicles, ["c2"] * len(right))
    assert found.mAP == pytest.approx(100 * average_precision_score(right, similarities))


def test_a_table_made_by_hand_with_ties() -> None:
    # Four gallery images tie at 0.8 and rank in gallery order; the third is left out (same camera).
    #   place      1     2     3     4     5
    #   gallery    g1    g0    g3    g4    g5
    #   right      no    yes   no    yes   yes
    similarities = np.array([[0.8, 0.9, 0.8, 0.8, 0.8, 0.1]])
    gallery_vehicles = ["a", "b", "a", "b", "a", "a"]
    gallery_cameras = ["c2", "c2", "c1", "c1", "c3", "c2"]
    found = accuracy(rank_gallery(similarities), ["a"], ["c1"], gallery_vehicles, gallery_cameras)
    assert found.mAP == pytest.approx(100 * (1 / 2 + 2 / 4 + 3 / 5) / 3)
    assert found.cmc == {1: 0.0, 5: 100.0, 10: 100.0}
    assert found.mINP == pytest.approx(100 * 3 / 5)


def test_the_same_vehicle_from_the_same_camera_is_left_out() -> None:
    ranking = np.array([[0, 1, 2]])
    found = accuracy(ranking, ["a"], ["c1"], ["a", "b", "a"], ["c1", "c2", "c2"])
    assert found.cmc == {1: 0.0, 5: 100.0, 10: 100.0}
    assert found.mAP == pytest.approx(50.0)


def test_ties_keep_the_gallery_order() -> None:
    assert rank_gallery(np.array([[0.5, 0.9, 0.5, 0.9]])).tolist() == [[1, 3, 0, 2]]


def test_queries_without_an_answer_are_not_counted() -> None:
    found = accuracy(np.array([[0, 1], [0, 1]]), ["a", "z"], ["c1", "c1"], ["a", "b"], ["c2", "c2"])
    assert found.queries == 1
    assert found.row() == {
        "queries": 1,
        "mAP": 100.0,
        "R1": 100.0,
        "R5": 100.0,
        "R10": 100.0,
        "mINP": 100.0,
    }


def test_no_answer_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no query has a right answer"):
        accuracy(np.array([[0]]), ["a"], ["c"], ["b"], ["c"])


def test_a_ranking_of_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 x 2 images"):
        accuracy(np.array([[0]]), ["a"], ["c"], ["b", "b"], ["c", "c"])
