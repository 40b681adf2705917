"""Matches in their final places: the second stage permutes what it scored, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from index import Match, Record
from service.retrieval.ranking import order_matches


def found(count: int) -> list[Match]:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        Match(i, Record(str(i), None, None, None, None, (), "f", moment, "image/png"), 1 - i / 100)
        for i in range(count)
    ]


distances = st.none() | st.floats(0, 10, width=32)


@given(matches=st.integers(0, 20), scores=st.lists(distances, max_size=10))
def test_the_second_stage_permutes_what_it_scored_and_nothing_else(
    matches: int, scores: list[float | None]
) -> None:
    scores = scores[:matches]
    ranked = order_matches(found(matches), scores)
    ranks = [item.first_stage_rank for item in ranked]
    assert sorted(ranks) == list(range(1, matches + 1))
    assert ranks[len(scores) :] == list(range(len(scores) + 1, matches + 1))
    for place, score in enumerate(scores):
        assert (score is None) == (ranked[place].rerank_distance is None)
        if score is None:
            assert ranks[place] == place + 1
    scored = [item for item in ranked if item.rerank_distance is not None]
    keys = [(item.rerank_distance, item.first_stage_rank) for item in scored]
    assert keys == sorted(keys)


def test_equal_distances_keep_the_first_stage_order() -> None:
    assert [item.first_stage_rank for item in order_matches(found(4), [1.0, 1.0, 1.0])] == [1, 2, 3, 4]
