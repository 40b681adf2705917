"""`lka-reid query --sheet`: an answer as a page with images."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from service.commands.sheet import sheet
from tests.service.command_line import Command
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file


def match(image_id: str, **more: Any) -> dict[str, Any]:
    known = {"vehicle_id": None, "camera_id": None, "rerank_distance": None}
    return {"rank": 1, "similarity": 0.5, "image_id": image_id, **known, **more}


def page_of(answers: list[dict[str, Any]], image_of: Callable[[str], bytes | None], name: str = "p") -> str:
    known = {"reranked": True, "gallery_size": 1, "match_threshold": 0.62}
    made = datetime(2024, 5, 17, 8, 30, tzinfo=timezone(timedelta(hours=2)))
    return sheet(name, image_file(), [known | answer for answer in answers], image_of, made)


def test_a_sheet_has_the_probe_and_every_match(service: Running, command: Command, tmp_path: Path) -> None:
    for name, colour in (("red", RED), ("green", GREEN)):
        service.enroll(image_file(colour), image_id=name)
    probe = tmp_path / "probe.png"
    probe.write_bytes(image_file(BLUE))
    target = tmp_path / "answer.html"
    outcome = command("query", probe, "--url", service.url, "--sheet", target)
    assert (outcome.code, f"sheet: {target}" in outcome.out) == (0, True)
    page = target.read_text(encoding="utf-8")
    shown = re.findall(r'<img src="data:image/jpeg;base64,[A-Za-z0-9+/=]+" alt="([^"]*)"', page)
    assert (shown[0], set(shown[1:])) == ("the probe", {"red", "green"})


def test_names_of_others_are_text_and_nothing_is_loaded() -> None:
    evil = '"><script>alert(1)</script><img src=https://elsewhere/x>'
    page = page_of([{"matches": [match(evil, vehicle_id=evil)]}], lambda _id: image_file(), evil)
    assert "<script" not in page
    assert "<img src=https" not in page
    assert set(re.findall(r'<img src="([^,]*),', page)) == {"data:image/jpeg;base64"}
    assert "default-src 'none'" in page


def test_it_says_when_it_was_made_what_was_searched_and_what_a_match_is() -> None:
    page = page_of(
        [{"matches": [match("a", is_match=True, captured_at="2024-05-17T06:00:00Z")]}], lambda _: None
    )
    assert "2024-05-17 06:30 UTC" in page
    assert "both stages, 1 image enrolled, a match from a similarity of 0.620 on" in page
    assert '<li class="match">' in page
    assert "2024-05-17T06:00:00Z" in page


def test_an_image_that_went_or_is_none_leaves_the_others() -> None:
    files = {"gone": None, "broken": b"no image", "there": image_file()}
    page = page_of([{"matches": [match(each) for each in files]}], files.__getitem__)
    assert page.count("<img ") == 2
    assert page.count('class="none"') == 2
    assert "enrolled no more" in page


def test_the_crop_of_each_vehicle_is_shown() -> None:
    answers = [
        {"vehicle": {"type": "car", "box": [0, 0, 16, 16]}, "matches": []},
        {"vehicle": {"type": "bus", "box": [0, 16, 32, 16]}, "matches": []},
    ]
    page = page_of(answers, lambda _id: None)
    assert re.findall('alt="([^"]*)"', page) == ["the car at 0,0,16,16", "the bus at 0,16,32,16"]
    assert len(set(re.findall('base64,([^"]*)', page))) == 2


@pytest.mark.parametrize(
    ("name", "why"), [("a.txt", "ends in .html"), ("nowhere/a.html", "No such file or directory")]
)
def test_a_sheet_that_cannot_be_written_is_told(
    service: Running, command: Command, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "probe.png").write_bytes(image_file())
    outcome = command("query", tmp_path / "probe.png", "--url", service.url, "--sheet", tmp_path / name)
    assert (outcome.code, outcome.out, why in outcome.err) == (2, "", True)
