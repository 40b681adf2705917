from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation import accuracy, rank_gallery


def brute_force(
    similarities: np.ndarray, qv: list[str], qc: list[str], gv: list[str], gc: list[str]
) -> tuple[float, float]:
    """mAP and R1 by loops, written without a look at the code under test."""
    precisions, firsts = [], []
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
            firsts.append(gv[order[0]] == qv[q])
    return 100 * sum(precisions) / len(precisions), 100 * sum(firsts) / len(firsts)


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_map_and_r1_agree_with_brute_force(seed: int) -> None:
    source = np.random.default_rng(seed)
    q, g = int(source.integers(1, 8)), int(source.integers(2, 20))
    qv, gv = ([str(v) for v in source.integers(0, 4, n)] for n in (q, g))
    qc, gc = ([str(c) for c in source.integers(0, 3, n)] for n in (q, g))
    # One query is sure to have an answer.
    qv[0], qc[0], gv[0], gc[0] = "0", "0", "0", "1"
    similarities = source.permutation(q * g).reshape(q, g).astype(float)
    expected = brute_force(similarities, qv, qc, gv, gc)
    found = accuracy(rank_gallery(similarities), qv, qc, gv, gc)
    assert (found.mAP, found.cmc[1]) == pytest.approx(expected)


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
    assert found.row() == {"queries": 1, "mAP": 100.0, "R1": 100.0, "R5": 100.0, "R10": 100.0}


def test_no_answer_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no query has a right answer"):
        accuracy(np.array([[0]]), ["a"], ["c"], ["b"], ["c"])


def test_a_ranking_of_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 x 2 images"):
        accuracy(np.array([[0]]), ["a"], ["c"], ["b", "b"], ["c", "c"])
