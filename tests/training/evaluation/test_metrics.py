from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from tests.training.evaluation.rankings import brute_force, ranked
from training.evaluation.metrics import (
    CLASS_RETRIEVAL,
    METRICS,
    REIDENTIFICATION,
    Metric,
    cmc,
    figure,
    figures,
    of_queries,
    shown,
)
from training.evaluation.result import RetrievalResult


def result_of(*ranks: list[int], gallery: int = 20) -> RetrievalResult:
    names = np.array([f"q{i}" for i in range(len(ranks))])
    return RetrievalResult(names, names, gallery, tuple(np.array(r, dtype=np.intp) for r in ranks))


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_every_figure_agrees_with_brute_force(seed: int) -> None:
    source = np.random.default_rng(seed)
    q, g = int(source.integers(1, 8)), int(source.integers(2, 20))
    qv, gv = ([str(v) for v in source.integers(0, 4, n)] for n in (q, g))
    qc, gc = ([str(c) for c in source.integers(0, 3, n)] for n in (q, g))
    # One query is sure to have a correct match.
    qv[0], qc[0], gv[0], gc[0] = "0", "0", "0", "1"
    similarities = source.permutation(q * g).reshape(q, g).astype(float)
    mean_precision, curve, penalty = brute_force(similarities, qv, qc, gv, gc)
    result = ranked(similarities, qv, qc, gv, gc).result()
    assert figures([result], shown(REIDENTIFICATION)) == pytest.approx(
        {"mAP": mean_precision, **{f"R{rank}": value for rank, value in curve.items()}, "mINP": penalty}
    )
    assert cmc([result], curve) == pytest.approx(curve)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_average_precision_is_scikit_learns(seed: int) -> None:
    source = np.random.default_rng(seed)
    correct = source.random(int(source.integers(2, 40))) < 0.3
    correct[0] = True
    similarities = source.permutation(len(correct)).astype(float)
    vehicles = ["own" if each else "other" for each in correct]
    result = ranked(similarities[None], ["own"], ["c1"], vehicles, ["c2"] * len(correct)).result()
    assert figure(result, "mAP") == pytest.approx(100 * average_precision_score(correct, similarities))


def test_a_table_made_by_hand_with_ties() -> None:
    # Four gallery images tie at 0.8 and rank in gallery order; the third is left out (same camera).
    #   rank       1     2     3     4     5
    #   gallery    g1    g0    g3    g4    g5
    #   correct    no    yes   no    yes   yes
    similarities = np.array([[0.8, 0.9, 0.8, 0.8, 0.8, 0.1]])
    vehicles = ["a", "b", "a", "b", "a", "a"]
    cameras = ["c2", "c2", "c1", "c1", "c3", "c2"]
    result = ranked(similarities, ["a"], ["c1"], vehicles, cameras).result()
    assert result.ranks[0].tolist() == [2, 4, 5]
    assert figures([result], ["mAP", "R1", "R5", "mINP", "MRR"]) == pytest.approx(
        {"mAP": 100 * (1 / 2 + 2 / 4 + 3 / 5) / 3, "R1": 0, "R5": 100, "mINP": 60, "MRR": 50}
    )


def test_queries_without_a_correct_match_are_not_counted() -> None:
    result = result_of([2], [])
    assert of_queries(result, "mAP").tolist() == [0.5]
    assert figure(result, "R5") == 100


def test_no_query_with_a_correct_match_is_an_error() -> None:
    with pytest.raises(ValueError, match="no query has a correct match"):
        figure(result_of([], []), "mAP")


def test_several_results_give_their_mean() -> None:
    results = [result_of([1]), result_of([2])]
    assert figures(results, ["mAP", "R1"]) == {"mAP": 75, "R1": 50}
    assert cmc(results, (1, 2)) == {1: 50, 2: 100}


def test_reports_show_their_metrics_in_the_fields_order() -> None:
    assert shown(REIDENTIFICATION) == ["mAP", "R1", "R5", "R10", "mINP"]
    assert shown(CLASS_RETRIEVAL) == ["Recall@1", "Recall@2", "Recall@4", "Recall@8", "mAP"]


def test_a_registered_metric_is_a_function_of_ranks_that_reports_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(METRICS, "last", Metric(lambda ranks: float(ranks[-1] <= 3)))
    assert shown(REIDENTIFICATION)[-1] == shown(CLASS_RETRIEVAL)[-1] == "last"
    assert figure(result_of([1, 3], [2, 9]), "last") == 50
    with pytest.raises(ValueError, match="unknown metric 'lost'; there are Recall@1"):
        figure(result_of([1]), "lost")
