"""`lka-reid cameras` against a running service, and the probe's camera in `lka-reid query`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.command_line import Outcome
from tests.service.fakes import Running, image_file

Command = Callable[..., Outcome]


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(image_file((40 * number, 10, 90)))
    return folder


@pytest.mark.slow
def test_a_camera_is_calibrated_once_listed_and_shown(
    service: Running, command: Command, crops: Path
) -> None:
    outcome = command("cameras", "calibrate", "gate-3", crops, "--url", service.url)
    assert outcome.code == 0
    assert "4 images counted, 0 were counted before" in outcome.out
    outcome = command("cameras", "calibrate", "gate-3", crops / "1.png", "--url", service.url, "--json")
    answer = json.loads(outcome.out)
    assert (answer["counted"], answer["already_counted"], answer["failed"]) == (0, 1, [])
    assert answer["camera"]["calibrated"] == 4
    outcome = command("cameras", "list", "--url", service.url)
    assert "gate-3" in outcome.out
    assert "descriptors stay as they are" in outcome.out
    outcome = command("cameras", "show", "gate-3", "--url", service.url)
    assert "with 4 images" in outcome.out
    assert json.loads(command("cameras", "list", "--url", service.url, "--json").out)["cameras"]


@pytest.mark.slow
def test_begun_anew_a_calibration_has_the_new_images_alone(
    service: Running, command: Command, crops: Path
) -> None:
    command("cameras", "calibrate", "gate-3", crops, "--url", service.url)
    outcome = command("cameras", "calibrate", "gate-3", crops / "1.png", "--anew", "--url", service.url)
    assert outcome.code == 0
    assert service.gallery.cameras.state("gate-3").calibrated == 1


@pytest.mark.slow
def test_begun_anew_with_broken_files_a_calibration_stays_until_an_image_counts(
    service: Running, command: Command, crops: Path, tmp_path: Path
) -> None:
    command("cameras", "calibrate", "gate-3", crops, "--url", service.url)
    broken = tmp_path / "broken"
    broken.mkdir()
    for number in range(3):
        (broken / f"{number}.png").write_bytes(b"no image")
    outcome = command("cameras", "calibrate", "gate-3", broken, "--anew", "--url", service.url)
    assert outcome.code == 1
    assert "0 images counted" in outcome.out
    assert "former calibration stays" in outcome.err
    assert service.gallery.cameras.state("gate-3").calibrated == 4
    for number in range(3, 6):
        (broken / f"{number}.png").write_bytes(image_file((10, 30 * number, 60)))
    outcome = command("cameras", "calibrate", "gate-3", broken, "--anew", "--url", service.url)
    assert outcome.code == 1
    assert "3 images counted, 0 were counted before" in outcome.out
    assert "stays" not in outcome.err
    assert service.gallery.cameras.state("gate-3").calibrated == 3


def test_what_is_no_image_is_named_and_the_others_count(
    service: Running, command: Command, crops: Path
) -> None:
    (crops / "broken.png").write_bytes(b"no image")
    outcome = command("cameras", "calibrate", "gate-3", crops, "--url", service.url)
    assert outcome.code == 1
    assert "4 images counted" in outcome.out
    assert "broken.png" in outcome.err
    assert "show it 10 images or more" in outcome.err


def test_a_folder_without_images_and_an_unknown_camera_are_refused(
    service: Running, command: Command, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    outcome = command("cameras", "calibrate", "gate-3", empty, "--url", service.url)
    assert outcome.code == 2
    assert "no image was found" in outcome.err
    outcome = command("cameras", "show", "nowhere", "--url", service.url)
    assert outcome.code == 2
    assert "'nowhere'" in outcome.err


def test_where_no_service_answers_the_command_says_so(command: Command, crops: Path) -> None:
    for words in (["list"], ["show", "gate-3"], ["calibrate", "gate-3", crops]):
        outcome = command("cameras", *words, "--url", "http://127.0.0.1:9")
        assert outcome.code == 2
        assert "no service answers" in outcome.err


@pytest.mark.parametrize("camera", ["..", "a/../b", "./x", "a\nb", "a\n", " a", ""])
@pytest.mark.parametrize(
    "words",
    [
        ("cameras", "show", "CAMERA"),
        ("cameras", "calibrate", "CAMERA", "IMAGES"),
        ("enroll", "IMAGES", "--camera-id", "CAMERA"),
        ("query", "IMAGES/1.png", "--camera-id", "CAMERA"),
        ("gallery", "update", "a", "--camera-id", "CAMERA"),
        ("watch", "add", "IMAGES/1.png", "--camera-id", "CAMERA"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_no_camera_is_called_is_refused_once_and_asks_no_service(
    command: Command, crops: Path, words: tuple[str, ...], camera: str
) -> None:
    given = [camera if word == "CAMERA" else word.replace("IMAGES", str(crops)) for word in words]
    outcome = command(*given, "--url", "http://127.0.0.1:9")
    assert outcome.code == 2
    assert outcome.out == ""
    said = camera.replace("\n", r"\n")
    assert outcome.err.count(f"camera_id is '{said}', which is not a legal camera id; it takes 1 .. 256") == 1
    assert outcome.err.count("\n") == 1


def test_a_query_says_what_was_taken_out(service: Running, command: Command, crops: Path) -> None:
    service.enroll(image_file((40, 10, 90)), image_id="a", camera_id="gate-3")
    outcome = command("query", crops / "1.png", "--camera-id", "gate-3", "--url", service.url)
    assert outcome.code == 0
    assert "taken out of descriptors: nothing, for too little is known" in outcome.out
