"""`lka-reid detect`, and frames given to `lka-reid query`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.detection.scenes import FRAME, RED_CAR, file_of, iou, scene
from tests.service.command_line import Command
from tests.service.fakes import Running

BOX = ",".join(map(str, RED_CAR))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("street") / "street.png"
    path.write_bytes(file_of(scene()[0]))
    return path


@pytest.mark.slow
def test_service_and_process_find_the_same(shared_service: Running, command: Command, street: Path) -> None:
    asked = json.loads(command("detect", street, "--url", shared_service.url, "--json").out)
    here = json.loads(command("detect", street, "--here", "--url", "http://127.0.0.1:1", "--json").out)
    assert asked == here
    assert len(asked["vehicles"]) == 3


def test_boxes_are_printed_as_query_takes_them(
    shared_service: Running, command: Command, street: Path
) -> None:
    outcome = command("detect", street, "--url", shared_service.url)
    found = json.loads(command("detect", street, "--here", "--json").out)["vehicles"]
    assert outcome.code == 0
    for vehicle in found:
        assert ",".join(map(str, vehicle["box"])) in outcome.out


def test_boxes_are_drawn(command: Command, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    assert command("detect", FRAME, "--here", "-o", drawn).code == 0
    with Image.open(drawn) as after, Image.open(FRAME) as before:
        changed = np.any(np.asarray(after) != np.asarray(before.convert("RGB")), axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    edges = type(RED_CAR)(
        int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]), int(rows[-1] - rows[0])
    )
    assert iou(edges, RED_CAR) > 0.75


def test_no_vehicle_is_said(command: Command, tmp_path: Path) -> None:
    (tmp_path / "road.png").write_bytes(file_of(Image.new("RGB", (99, 60))))
    outcome = command("detect", tmp_path / "road.png", "--here")
    assert (outcome.code, outcome.out) == (0, f"No vehicle was found in {tmp_path}/road.png, 99 x 60 px\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.jpg", "--here"], "gone.jpg"),
        ([FRAME, "--here", "-o", "drawn.jpg"], "ends in .png"),
        ([FRAME, "--detector", "folder"], "for --here"),
        ([FRAME, "--here", "--detector", "gone"], "gone/manifest.json: No such file"),
        ([FRAME, "--url", "http://127.0.0.1:1"], "no service answers"),
    ],
)
def test_what_is_wrong_is_said(command: Command, arguments: list[object], said: str) -> None:
    outcome = command("detect", *arguments)
    assert outcome.code == 2
    assert said in outcome.err


def test_no_detector_is_said(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKA_REID_DETECTOR", "off")
    outcome = command("detect", FRAME, "--here")
    assert outcome.code == 2
    assert "LKA_REID_DETECTOR is off" in outcome.err


@pytest.mark.slow
def test_a_query_takes_a_box_or_a_choice(service: Running, command: Command, street: Path) -> None:
    service.enroll(street.read_bytes(), image_id="f", detect="all")
    for options in (["--box", BOX], ["--detect", "largest"]):
        answer = json.loads(command("query", FRAME, "--url", service.url, "--json", *options).out)
        assert len(answer["matches"]) == 3
        assert answer["crop"]
    outcome = command("query", street, "--url", service.url, "--detect", "all")
    assert outcome.out.count("Most similar to") == 3
    assert "motorcycle at" in outcome.out
    answers = json.loads(command("query", street, "--url", service.url, "--detect", "all", "--json").out)
    assert len(answers["answers"]) == 3


def test_a_query_that_could_mean_several_lists_them(service: Running, command: Command, street: Path) -> None:
    outcome = command("query", street, "--url", service.url, "--detect", "one")
    assert outcome.code == 2
    assert "3 vehicles" in outcome.err
    for kind in ("car", "truck", "motorcycle"):
        assert kind in outcome.err
    outcome = command("query", street, "--url", service.url, "--detect", "one", "--json")
    [line] = outcome.err.splitlines()
    error = json.loads(line)["error"]
    assert (outcome.code, outcome.out) == (2, "")
    assert {vehicle["type"] for vehicle in error["vehicles"]} == {"car", "truck", "motorcycle"}
    assert error["request_id"]


def test_a_file_that_is_no_image_is_named(shared_service: Running, command: Command, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.jpg"
    wrong.write_bytes(b"no image")
    for name in ("query", "detect"):
        outcome = command(name, wrong, "--url", shared_service.url)
        assert outcome.code == 2
        assert "notes.jpg: these 8 bytes are no image" in " ".join(outcome.err.split())
