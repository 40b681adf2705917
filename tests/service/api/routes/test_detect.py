"""Frames: POST /detect, and `box` and `detect` of the routes that take an image of a vehicle."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.detection.vehicle import Box
from tests.models.detection.scenes import FRAME, RED_CAR, SCENE_SIZE, file_of, iou, scene
from tests.service.api.test_problems import check
from tests.service.fakes import Running, image_file, running

ROAD, PASTED = scene()
STREET = file_of(ROAD)
EMPTY = file_of(Image.new("RGB", (320, 200), (90, 90, 90)))
RED = ",".join(map(str, RED_CAR))


def detect(service: Running, image: bytes = STREET, **fields: Any) -> httpx.Response:
    return service.client.post("/detect", files={"image": ("x", image)}, data=fields)


def upright(service: Running, image_id: str) -> Image.Image:
    """The enrolled image."""
    response = service.client.get(f"/gallery/{image_id}/image")
    assert response.headers["Content-Type"] == "image/jpeg"
    return Image.open(io.BytesIO(response.content))


def test_the_vehicles_of_a_frame_are_listed_with_boxes_in_px(shared_service: Running) -> None:
    answer = detect(shared_service).json()
    assert list(answer) == ["width", "height", "vehicles"]
    assert (answer["width"], answer["height"]) == SCENE_SIZE
    assert {found["type"] for found in answer["vehicles"]} == PASTED.keys()
    for found in answer["vehicles"]:
        assert list(found) == ["box", "type", "score"]
        assert iou(Box(*found["box"]), PASTED[found["type"]]) > 0.7
    scores = [found["score"] for found in answer["vehicles"]]
    assert scores == sorted(scores, reverse=True)


def test_an_empty_road_has_none(shared_service: Running) -> None:
    assert detect(shared_service, EMPTY).json() == {"width": 320, "height": 200, "vehicles": []}


def test_what_is_no_image_is_refused(shared_service: Running) -> None:
    check(detect(shared_service, b"no image"), 422, "not-an-image", "image")


def test_it_takes_the_image_alone(shared_service: Running) -> None:
    check(detect(shared_service, detect="all"), 422, "invalid-fields", "detect")


def test_the_largest_vehicle_is_searched_for_by_its_crop(service: Running) -> None:
    service.enroll(FRAME.read_bytes(), image_id="red", detect="largest")
    answer = service.query(FRAME.read_bytes(), detect="largest").json()
    assert answer["matches"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert iou(Box(*answer["vehicle"]["box"]), RED_CAR) > 0.85
    # The margin is a tenth of each side, and ends at the frame.
    x, y, width, height = answer["vehicle"]["box"]
    left, top = max(0, round(x - 0.1 * width)), max(0, round(y - 0.1 * height))
    assert answer["crop"][:2] == [left, top]
    assert answer["timings_ms"]["detect"] > 0


def test_what_is_kept_is_the_crop(service: Running) -> None:
    answer = service.enroll(FRAME.read_bytes(), image_id="red", detect="largest").json()
    kept = upright(service, "red")
    assert list(kept.size) == answer["crop"][2:]
    x, y, width, height = answer["crop"]
    with Image.open(FRAME) as frame:
        expected = np.asarray(frame.crop((x, y, x + width, y + height)), dtype=int)
    assert np.abs(np.asarray(kept, dtype=int) - expected).mean() < 4
    assert (answer["media_type"], answer["image_id"]) == ("image/jpeg", "red")


def kept_frame(service: Running, image_id: str) -> httpx.Response:
    return service.client.get(f"/gallery/{image_id}/image", params={"frame": "true"})


def test_a_frame_is_kept_on_request_alone(service: Running) -> None:
    service.enroll(FRAME.read_bytes(), image_id="a", detect="largest")
    check(kept_frame(service, "a"), 404, "unknown-frame")
    service.enroll(FRAME.read_bytes(), image_id="b", detect="largest", keep_frame=True)
    assert kept_frame(service, "b").content == FRAME.read_bytes()
    assert kept_frame(service, "b").headers["Content-Type"] == "image/jpeg"
    check(service.enroll(EMPTY, image_id="c", keep_frame=True), 422, "invalid-fields", "keep_frame")


def test_a_frame_goes_with_the_first_of_its_vehicles(service: Running) -> None:
    service.enroll(STREET, image_id="f", detect="all", keep_frame=True)
    for number in (1, 2, 3):
        assert kept_frame(service, f"f/{number}").content == STREET
    service.client.delete("/gallery/f/2")
    for number in (1, 2, 3):
        check(kept_frame(service, f"f/{number}"), 404, "unknown-frame")
    assert service.client.get("/gallery/f/1/image").status_code == 200


def test_a_frame_whose_answer_was_lost_is_kept_when_it_is_sent_again(service: Running) -> None:
    service.enroll(FRAME.read_bytes(), image_id="a", detect="largest")
    again = service.enroll(FRAME.read_bytes(), image_id="a", detect="largest", keep_frame=True)
    assert check(again, 409, "duplicate-image")["differs"] == []
    assert kept_frame(service, "a").content == FRAME.read_bytes()


def test_a_type_that_is_said_counts_before_the_detectors(service: Running) -> None:
    said = service.enroll(FRAME.read_bytes(), detect="largest", vehicle_type="sedan").json()
    assert said["vehicle_type"] == "sedan"
    found = service.enroll(FRAME.read_bytes(), detect="largest").json()
    assert found["vehicle_type"] == found["vehicle"]["type"]
    assert service.enroll(FRAME.read_bytes(), box=RED).json()["vehicle_type"] is None


def test_a_box_that_was_found_gives_the_crop_that_was_found(service: Running) -> None:
    found = service.enroll(FRAME.read_bytes(), image_id="a", detect="largest").json()
    box = ",".join(map(str, found["vehicle"]["box"]))
    named = service.enroll(FRAME.read_bytes(), image_id="b", box=box).json()
    assert named["crop"] == found["crop"]
    assert "vehicle" not in named
    assert upright(service, "a").tobytes() == upright(service, "b").tobytes()


def test_with_several_vehicles_and_no_choice_the_answer_lists_them(shared_service: Running) -> None:
    listed = detect(shared_service).json()
    for response in (
        shared_service.query(STREET, detect="one"),
        shared_service.enroll(STREET, detect="one", image_id="several"),
    ):
        problem = check(response, 422, "several-vehicles")
        assert "3 vehicles" in problem["detail"]
        assert {name: problem[name] for name in listed} == listed
    assert shared_service.client.get("/gallery/several").status_code == 404


def test_of_a_frame_with_one_vehicle_that_one_is_meant(shared_service: Running) -> None:
    answer = shared_service.query(FRAME.read_bytes(), detect="one").json()
    assert iou(Box(*answer["vehicle"]["box"]), RED_CAR) > 0.85


def test_all_gives_one_answer_a_vehicle(service: Running) -> None:
    enrolled = service.enroll(STREET, image_id="frame7", camera_id="c", detect="all")
    assert enrolled.status_code == 201
    assert "Location" not in enrolled.headers
    records = enrolled.json()["enrolled"]
    assert [record["image_id"] for record in records] == ["frame7/1", "frame7/2", "frame7/3"]
    assert {record["camera_id"] for record in records} == {"c"}
    assert [record["vehicle_type"] for record in records] == [record["vehicle"]["type"] for record in records]
    answer = service.query(STREET, detect="all", top_k=1).json()
    assert (answer["width"], answer["height"]) == SCENE_SIZE
    for one, record in zip(answer["answers"], records, strict=True):
        assert one["vehicle"] == record["vehicle"]
        assert one["matches"][0]["image_id"] == record["image_id"]
        assert one["matches"][0]["similarity"] == pytest.approx(1, abs=1e-5)


def test_a_frame_that_is_sent_again_is_enrolled_once(service: Running) -> None:
    first = service.enroll(STREET, image_id="frame7", detect="all").json()
    service.client.delete("/gallery/frame7/2")
    again = service.enroll(STREET, image_id="frame7", detect="all")
    assert again.status_code == 201
    assert [one["image_id"] for one in again.json()["enrolled"]] == [
        one["image_id"] for one in first["enrolled"]
    ]
    assert service.gallery.count() == 3


def test_a_frame_of_which_one_vehicle_has_a_taken_id_changes_nothing(service: Running) -> None:
    service.enroll(image_file(), image_id="frame7/3")
    problem = check(service.enroll(STREET, image_id="frame7", detect="all"), 409, "duplicate-image")
    assert problem["differs"] == ["image", "vehicle_type"]
    assert service.gallery.count() == 1


def test_more_vehicles_than_the_queue_has_places_are_enrolled_all_the_same(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service:
        assert len(service.enroll(STREET, image_id="f", detect="all").json()["enrolled"]) == 3


@pytest.mark.parametrize("choice", ["one", "largest", "all"])
def test_no_vehicle_says_so(shared_service: Running, choice: str) -> None:
    for response in (shared_service.query(EMPTY, detect=choice), shared_service.enroll(EMPTY, detect=choice)):
        problem = check(response, 422, "no-vehicle")
        assert (problem["width"], problem["height"], problem["vehicles"]) == (320, 200, [])


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("1,2,3", "'1,2,3' is no box"),
        ("1,2,3,x", "'1,2,3,x' is no box"),
        ("1,2,nan,3", "'1,2,nan,3' is no box"),
        ("1,2,3,1e99", "'1,2,3,1e99' is no box"),
        ("1,2,0,5", "'1,2,0,5' is no box"),
        ("1,2,5,-5", "'1,2,5,-5' is no box"),
        ("9" * 900, f"'{'9' * 40}...' is no box"),
        ("5000,5000,50,50", "no 8 x 8 px inside the image, which has 768 x 432 px"),
        ("10,10,4,50", "no 8 x 8 px inside"),
    ],
)
def test_a_box_that_is_none_is_named(shared_service: Running, box: str, said: str) -> None:
    for ask in (shared_service.query, shared_service.enroll):
        problem = check(ask(FRAME.read_bytes(), box=box), 422, "invalid-fields", "box")
        assert said in problem["errors"][0]["message"], problem


def test_a_box_and_a_choice_exclude_each_other(shared_service: Running) -> None:
    for ask in (shared_service.query, shared_service.enroll):
        response = ask(FRAME.read_bytes(), box=RED, detect="all")
        check(response, 422, "invalid-fields", "box", "detect")


def test_an_unknown_choice_is_named(shared_service: Running) -> None:
    check(shared_service.query(STREET, detect="any"), 422, "invalid-fields", "detect")


def test_an_id_without_room_for_numbers_is_refused(shared_service: Running) -> None:
    response = shared_service.enroll(STREET, detect="all", image_id="a" * 511)
    check(response, 422, "invalid-fields", "image_id")


def test_without_either_the_image_is_a_crop_and_nothing_is_looked_for(service: Running) -> None:
    record = service.enroll(EMPTY, image_id="crop", box="", detect="").json()
    answer = service.query(EMPTY).json()
    for name in ("vehicle", "crop"):
        assert name not in record
        assert name not in answer
    assert "detect" not in answer["timings_ms"]
    assert service.client.get("/gallery/crop/image").content == EMPTY


def test_without_a_detector_boxes_do_and_the_rest_says_why_not(tmp_path: Path) -> None:
    with running(tmp_path, detector="off") as service:
        for response in (detect(service), service.query(STREET, detect="one")):
            problem = check(response, 501, "no-detector")
            assert "LKA_REID_DETECTOR" in problem["detail"]
        assert service.query(FRAME.read_bytes(), box=RED).status_code == 200


def test_a_detector_that_is_not_there_keeps_the_service_from_starting(tmp_path: Path) -> None:
    with running(tmp_path, await_ready=False, detector=tmp_path / "gone") as service:
        response = service.client.get("/health/ready")
        while "could not start" not in response.text:
            assert response.status_code == 503
            response = service.client.get("/health/ready")
        assert str(tmp_path) not in response.text
        assert "detector" in str(service.app.state.lifecycle.failure)


def test_it_is_counted(service: Running) -> None:
    detect(service)
    metrics = service.client.get("/metrics").text
    for kind in PASTED:
        assert f'lka_reid_vehicles_found_total{{type="{kind}"}} 1.0' in metrics
    assert 'lka_reid_vehicles_found_total{type="bus"} 0.0' in metrics
    assert 'lka_reid_stage_seconds_count{stage="detect"} 1.0' in metrics
