"""`lka-reid list` and the filter of `lka-reid query`, against a running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lka_reid_client.calls import listing as pages
from tests.service.command_line import Command
from tests.service.fakes import Running, image_file


def test_it_lists_what_a_filter_leaves_page_by_page(
    service: Running, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LARGEST_PAGE", 2)
    for number in range(7):
        service.enroll(image_id=f"{number}", camera_id=f"cam{number % 2}", tags=["x"])
    asked = ("list", "--url", service.url, "--only-camera-id", "cam0", "--any-tag", "x", "--any-tag", "y")
    listed = command(*asked, "--json")
    assert [json.loads(line)["image_id"] for line in listed.out.splitlines()] == ["0", "2", "4", "6"]
    shown = command(*asked, "--limit", 3)
    assert shown.out.rstrip().endswith("3 images")
    assert "cam1" not in shown.out
    none = command("list", "--url", service.url, "--only-view", "rear")
    assert (none.code, none.out.strip()) == (0, "No enrolled image meets the filter")


def test_a_query_is_told_what_to_search(service: Running, command: Command, tmp_path: Path) -> None:
    image = tmp_path / "car.png"
    image.write_bytes(image_file())
    for name in "ab":
        service.enroll(image_id=name, vehicle_type=f"type {name}")
    asked = ("query", image, "--url", service.url)
    answer = json.loads(command(*asked, "--only-vehicle-type", "type b", "--json").out)
    assert [match["image_id"] for match in answer["matches"]] == ["b"]
    assert "2 images enrolled, 1 of them searched" in command(*asked, "--only-vehicle-type", "type b").out
    assert "No enrolled image meets the filter" in command(*asked, "--only-view", "rear").out


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--captured-from", "yesterday", "--captured-from is 'yesterday': it is not a time"),
        ("--any-tag", "", "--any-tag is '', which nothing can be called"),
    ],
)
def test_a_malformed_value_is_refused_before_anything_is_sent(
    command: Command, option: str, value: str, said: str
) -> None:
    outcome = command("list", "--url", "http://127.0.0.1:9", option, value)
    assert outcome.code == 2
    assert said in outcome.err
