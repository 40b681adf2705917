"""A retrieval result holds what every figure relies on, or does not come to be."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from training.evaluation.result import RetrievalResult, won_and_lost


def result(ranks: list[list[int]], gallery: int = 9, names: str = "abcdefg", **other: Any) -> RetrievalResult:
    queries = np.array(list(names[: len(ranks)]))
    parts: dict[str, Any] = {
        "queries": queries,
        "vehicles": np.array([f"v{name}" for name in queries]),
        "gallery": gallery,
        "ranks": tuple(np.array(each, dtype=np.intp) for each in ranks),
    }
    return RetrievalResult(**parts | other)


@pytest.mark.parametrize(
    ("ranks", "other", "message"),
    [
        ([[1], [2]], {"vehicles": np.array(["v"])}, "2 queries, 1 vehicles and 2 lists of ranks"),
        ([[1], [2]], {"queries": np.array(["a", "a"])}, "query a is there 2 times"),
        ([[1], [0, 2]], {}, "query b: ranks [0, 2] do not ascend within a gallery of 9"),
        ([[3, 2]], {}, "query a: ranks [3, 2] do not ascend"),
        ([[3, 3]], {}, "query a: ranks [3, 3] do not ascend"),
        ([[3, 10]], {}, "query a: ranks [3, 10] do not ascend within a gallery of 9"),
    ],
)
def test_what_cannot_be_a_result_is_refused(
    ranks: list[list[int]], other: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        result(ranks, **other)


def test_first_is_the_rank_of_the_first_correct_match_or_0() -> None:
    found = result([[2, 5], [], [1]])
    assert found.first.tolist() == [2, 0, 1]
    assert found.answerable().queries.tolist() == ["a", "c"]


def test_results_are_pooled_query_by_query() -> None:
    found = RetrievalResult.pooled([result([[2], []]), result([[12]], gallery=12, names="x")])
    assert (found.queries.tolist(), found.first.tolist(), found.gallery) == (["a", "b", "x"], [2, 0, 12], 12)
    with pytest.raises(ValueError, match="query a is there 2 times"):
        RetrievalResult.pooled([result([[2]]), result([[3]])])


def test_won_and_lost_count_queries_whose_first_match_changed() -> None:
    before, after = result([[1], [2], [2, 3], []]), result([[2], [1], [1, 4], []])
    assert won_and_lost(before, after) == (2, 1)
    with pytest.raises(ValueError, match="different queries"):
        won_and_lost(before, result([[1]] * 4, names="wxyz"))
