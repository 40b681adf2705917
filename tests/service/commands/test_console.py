"""What the command line prints of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from service.commands.console import matches_table


def answer(*judgements: bool | None) -> dict[str, Any]:
    match = {
        "rank": 1,
        "first_stage_rank": 1,
        "similarity": 0.5,
        "rerank_distance": None,
        "vehicle_id": None,
        "camera_id": None,
        "image_id": "a.jpg",
    }
    return {"matches": [match | {"is_match": judgement} for judgement in judgements]}


@pytest.mark.parametrize(
    ("judgements", "shown"), [((True, False), ["yes", "no"]), ((None, None), None), ((), None)]
)
def test_a_table_says_what_is_a_match_only_where_a_threshold_does(
    judgements: tuple[bool | None, ...], shown: list[str] | None
) -> None:
    columns = {
        str(column.header): list(column.cells) for column in matches_table(answer(*judgements), "").columns
    }
    assert columns.get("match") == shown
    assert columns["image id"] == ["a.jpg"] * len(judgements)
