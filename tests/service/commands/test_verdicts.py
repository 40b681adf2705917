"""Verdicts leave the service as pairs and as vehicles that a training reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from service.remote.http import ServiceClient
from service.remote.verdict_export import MANIFEST, VERDICTS
from tests.service.api.routes.test_verdicts import decide
from tests.service.command_line import Command
from tests.service.fakes import GREEN, RED, Running, image_file
from training.datasets.layouts import open_dataset


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def decided(service: Running) -> Running:
    """Two probes of the red vehicle, one of none; and what was said of them."""
    for image_id, colour, vehicle in (("c/r1", RED, "red"), ("r2", (9, 0, 0), None), ("g", GREEN, "green")):
        fields = {} if vehicle is None else {"vehicle_id": vehicle}
        service.enroll(image_file(colour), image_id=image_id, camera_id="gate", **fields)
    first, second, third = (image_file((200, 0, number)) for number in (1, 2, 3))
    decide(service, "c/r1", "same", first, camera_id="yard")
    decide(service, "r2", "same", first)
    decide(service, "r2", "same", second)
    decide(service, "g", "different", second)
    decide(service, "g", "different", third)
    return service


def test_pairs_and_vehicles_are_written_with_their_images(
    command: Command, decided: Running, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    said = command("verdicts", "export", str(folder), "--url", decided.url, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out) == {
        "folder": str(folder),
        "pairs": 5,
        "files": 6,
        "vehicles": 2,
        "without_camera": 1,
        "contradictions": [],
    }
    pairs = table(folder / VERDICTS)
    assert [(row["image_id"], row["verdict"]) for row in pairs] == [
        ("c/r1", "same"),
        ("r2", "same"),
        ("r2", "same"),
        ("g", "different"),
        ("g", "different"),
    ]
    assert pairs[0]["probe_camera_id"] == "yard"
    assert (folder / pairs[0]["probe"]).read_bytes() == image_file((200, 0, 1))
    assert (folder / pairs[0]["image"]).read_bytes() == image_file(RED)
    vehicles = {row["path"]: (row["vehicle_id"], row["camera_id"]) for row in table(folder / MANIFEST)}
    assert sorted(vehicles.values()) == [
        ("green", "gate"),
        ("red", "gate"),
        ("red", "gate"),
        ("red", "yard"),
    ]
    assert pairs[4]["probe"] not in vehicles, "of which nobody said that it shows the same as anything"
    assert {image.vehicle_id for image in open_dataset(folder).train} == {"green", "red"}


def test_vehicles_that_verdicts_contradict_are_named_and_left_out(
    command: Command, decided: Running, tmp_path: Path
) -> None:
    decide(decided, "g", "same", image_file((200, 0, 1)))
    said = command("verdicts", "export", str(tmp_path / "out"), "--url", decided.url)
    assert said.code == 0
    assert "Not in the manifest: verdicts link the vehicles green, red" in said.err
    assert table(tmp_path / "out" / MANIFEST) == []
    assert len(table(tmp_path / "out" / VERDICTS)) == 6


def test_a_folder_that_holds_something_is_left_alone(
    command: Command, shared_service: Running, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    said = command("verdicts", "export", str(tmp_path), "--url", shared_service.url)
    assert (said.code, said.out) == (2, "")
    assert "is not empty; name a new folder" in said.err


def test_none_are_an_empty_table(command: Command, shared_service: Running, tmp_path: Path) -> None:
    assert command("verdicts", "list", "--url", shared_service.url).code == 0
    said = command("verdicts", "list", "--url", shared_service.url, "--json")
    assert json.loads(said.out) == {"verdicts": []}
    assert command("verdicts", "export", str(tmp_path / "new"), "--url", shared_service.url).code == 0


def test_verdicts_come_page_by_page(decided: Running) -> None:
    with ServiceClient(decided.url) as client:
        assert len(list(client.verdicts())) == 5


@pytest.mark.slow
def test_a_query_says_what_verdicts_did_and_asks_without_them(
    command: Command, decided: Running, tmp_path: Path
) -> None:
    probe = tmp_path / "probe.png"
    probe.write_bytes(image_file((200, 0, 2)))
    query = ("query", probe, "--url", decided.url)
    said = command(*query)
    assert "verdicts on this probe: 1 as the same vehicle, 1 left out as another one" in said.out
    assert "green" not in said.out
    without = command(*query, "--no-verdicts")
    assert "verdicts on this probe" not in without.out
    assert "green" in without.out
    assert "No enrolled image is left" in command(*query, "--only-vehicle-id", "green").out
    both = command(*query, "--box", "0,0,9,9", "--detect", "all")
    assert (both.code, "give --box for a vehicle that you name, or --detect" in both.err) == (2, True)
