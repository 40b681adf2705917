"""Long names in tables of a narrow terminal."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from models.terminal import out
from service.commands.console import matches_table, table
from service.commands.cropping import Cropped, cropped

LONG = "site-north/gate-3/2026-05-17/camera-0004/frame-000123-vehicle-17-crop-2.jpg"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "ab…efg"),
        ("abcdefg", 5, "ab…fg"),
        ("abcdefg", 2, "a…"),
        ("abcdefg", 1, "…"),
    ],
)
def test_both_ends_are_kept(text: str, width: int, shown: str) -> None:
    assert cropped(text, width) == shown


@pytest.mark.parametrize("width", range(1, 12))
def test_characters_of_two_cells_never_take_more_room(width: int) -> None:
    shown = cropped("京A12345車両番号", width)
    assert cell_len(shown) <= width
    assert "…" in shown


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("judged", [None, True])
@pytest.mark.parametrize("vehicle", ["v1", "vehicle-" * 12])
def test_a_match_is_one_line_with_both_ends_of_its_id(
    vehicle: str, judged: bool | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out, "_width", width)
    match = {
        "rank": 10,
        "first_stage_rank": 12,
        "similarity": 0.5,
        "rerank_distance": 0.25,
        "vehicle_id": vehicle,
        "camera_id": "gate-3",
        "image_id": LONG,
        "is_match": judged,
    }
    made = matches_table({"matches": [match] * 3}, "")
    console = Console(file=StringIO(), width=width)
    console.print(made)
    assert isinstance(console.file, StringIO)
    rows = [line for line in console.file.getvalue().splitlines() if "0.5000" in line]
    assert len(rows) == 3
    for row in rows:
        assert cell_len(row) <= width
        assert re.search(r"site\S*….*\.jpg", row)
        assert ("0.2500" in row) == (width == 80)


def test_names_are_no_markup_and_no_control_characters() -> None:
    made = table("", "name")
    made.add_row(Cropped("[red]a\x1b[2J"))
    console = Console(file=StringIO(), width=80)
    console.print(made)
    assert isinstance(console.file, StringIO)
    assert r"[red]a\x1b[2J" in console.file.getvalue()
