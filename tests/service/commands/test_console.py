"""What the command line prints of an answer."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from typer.exceptions import Abort

from models.terminal import out
from service.commands.console import (
    Waits,
    ask,
    fitted_table,
    matches_table,
    scene_line,
    table,
    verdict_line,
    with_room,
)
from service.commands.cropping import Cropped


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
    assert all(
        column.no_wrap
        for column in matches_table(answer(*judgements), "").columns
        if column.header == "match"
    )
    assert columns["image id"] == [Cropped("a.jpg")] * len(judgements)


def test_what_to_do_with_a_frame_is_said_where_it_was_taken_for_a_crop_and_nothing_matches() -> None:
    missed = answer(False, False)
    assert "--detect largest" in str(scene_line(missed))
    assert scene_line(missed | {"crop": [1, 2, 3, 4]}) is None
    assert scene_line(answer(True, False)) is None
    assert scene_line(answer(None, None)) is None


def test_a_table_is_filled_by_the_names_of_the_columns_that_have_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{"b": "2", "a#": "1"}, {"a#": "3", "b": "4"}]
    for width, expected in ((30, [("a", ["1", "3"]), ("b", ["2", "4"])]), (10, [("a", ["1", "3"])])):
        monkeypatch.setattr(out, "width", width)
        made = fitted_table("t", {"a#": 10, "b": 10}, ["b"], rows, ["red", None].__getitem__)
        assert [(column.header, list(column.cells)) for column in made.columns] == expected
        assert [row.style for row in made.rows] == ["red", None]


def test_the_first_stage_s_places_are_shown_where_the_second_moved_a_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(out, "width", 100)
    moved = answer(True, False)
    moved["matches"][1]["first_stage_rank"] = 3
    for one, shown in ((answer(True, False), False), (moved, True)):
        headers = [str(column.header) for column in matches_table(one, "").columns]
        assert ("first\nstage" in headers, "" in headers) == (shown, shown)


def test_ids_get_the_room_of_a_column_of_vehicles_that_no_match_names() -> None:
    named, unnamed = answer(True, False), answer(True, False)
    named["matches"][1]["vehicle_id"] = "bus_1"
    columns = {str(column.header): list(column.cells) for column in matches_table(named, "").columns}
    assert columns["vehicle"] == [Cropped("-"), Cropped("bus_1")]
    columns = {str(column.header): list(column.cells) for column in matches_table(unnamed, "").columns}
    assert "vehicle" not in columns
    assert (columns["camera"], columns["image id"]) == ([Cropped("-")] * 2, [Cropped("a.jpg")] * 2)


@pytest.mark.parametrize(
    ("judgements", "shown"),
    [
        ((False, False), "no match"),
        ((False, True), "match: 1 of 2"),
        ((None, None), None),
        ((), None),
    ],
)
def test_a_vehicle_that_no_enrolled_image_is_near_to_is_called_no_match(
    judgements: tuple[bool | None, ...], shown: str | None
) -> None:
    line = verdict_line(answer(*judgements))
    assert (line is None) == (shown is None)
    if line is not None and shown is not None:
        assert line.replace("[bold]", "").replace("[/]", "").startswith(shown)


def test_the_reason_of_a_wait_is_printed_once_for_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("service.commands.console.time.monotonic", lambda: now[0])
    waits = Waits()
    for moment, reason in ((0.0, "full"), (1.0, "full"), (2.0, "not [ready]\x1b"), (10.0, "full")):
        now[0] = moment
        waits(1.5, reason)
    assert capsys.readouterr().err.splitlines() == [
        "Trying again in 1.5 s: full",
        r"Trying again in 1.5 s: not [ready]\x1b",
        "Trying again in 1.5 s: full",
    ]


def test_a_title_has_the_terminal_s_width_and_not_its_table_s() -> None:
    console = Console(file=StringIO(), width=80)
    made = table("Vehicles in a folder of frames/frame-000123.jpg, 768 x 432 px", "a")
    made.add_row("1")
    console.print(made)
    assert isinstance(console.file, StringIO)
    first, *_ = console.file.getvalue().splitlines()
    assert first == "Vehicles in a folder of frames/frame-000123.jpg, 768 x 432 px"


@pytest.mark.parametrize(
    ("width", "columns"), [(80, ["a", "b", "c"]), (30, ["a", "b", "c"]), (29, ["a", "c"]), (5, ["c"])]
)
def test_a_narrow_terminal_goes_without_the_columns_of_least_use(
    width: int, columns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out, "width", width)
    assert with_room({"a": 10, "b": 10, "c": 10}, ("absent", "b", "a")) == columns


@pytest.mark.parametrize(("answer", "lines"), [("n\n", 0), ("", 1)])
def test_a_question_without_an_answer_does_not_run_into_what_is_printed_next(
    answer: str, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(answer))
    with pytest.raises(Abort):
        ask("Delete all?")
    said = capsys.readouterr()
    assert (said.out.strip(), said.err.startswith("Delete all? [y/N]:"), said.err.count("\n")) == (
        "",
        True,
        lines,
    )


def test_whoever_says_yes_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))
    ask("Delete all?")
