"""The detector: where vehicles are in frames that were measured by eye, and how the raw grid is read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from models.detection.bundle import DEFAULT_DETECTOR, DetectorBundle
from models.detection.loading import load_detector
from models.detection.vehicle import Detector
from models.detection.yolox import Floats, YoloxOptions, decode_grid, letterbox, read_vehicles, suppress
from tests.models.detection.scenes import FRAME, RED_CAR, iou, scene

OPTIONS = YoloxOptions(
    height=64, width=96, classes={1: "bicycle", 2: "car"}, person=0, score=0.3, overlap=0.5
)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(DetectorBundle.load(DEFAULT_DETECTOR).described(), threads=1)


def test_the_car_of_a_real_frame_is_found_where_it_was_measured(detector: Detector) -> None:
    with Image.open(FRAME) as frame:
        [vehicle] = detector.detect(frame.convert("RGB"))
    assert iou(vehicle.box, RED_CAR) > 0.85
    assert 0.5 < vehicle.score < 1


def test_each_vehicle_of_a_scene_is_found_once_with_its_type_and_rider(detector: Detector) -> None:
    road, boxes = scene()
    found = {vehicle.type: vehicle for vehicle in detector.detect(road)}
    assert found.keys() == boxes.keys()
    assert len(detector.detect(road)) == len(boxes)
    for kind, box in boxes.items():
        # Where they were pasted is their boxes with the margins that the images have.
        assert iou(found[kind].box, box) > 0.7, kind
    scores = [vehicle.score for vehicle in detector.detect(road)]
    assert scores == sorted(scores, reverse=True)


def test_an_empty_road_has_no_vehicle(detector: Detector) -> None:
    assert detector.detect(Image.new("RGB", (640, 360), (90, 90, 90))) == []


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (9, 9)])
def test_frames_of_any_shape_can_be_looked_at(detector: Detector, size: tuple[int, int]) -> None:
    assert detector.detect(Image.new("RGB", size)) == []


def test_a_frame_is_shrunk_into_the_upper_left_of_a_grey_square_as_bgr() -> None:
    images, scale = letterbox(Image.new("RGB", (200, 100), (10, 20, 30)), 64, 96)
    assert (images.shape, scale) == ((1, 3, 64, 96), 0.48)
    np.testing.assert_array_equal(images[0, :, 20, 50], [30, 20, 10])
    np.testing.assert_array_equal(images[0, :, 60, 50], [114, 114, 114])


def test_the_grid_is_read_as_a_loop_over_its_cells_reads_it() -> None:
    height, width, classes = 64, 96, 3
    cells = [
        (stride, row, column)
        for stride in (8, 16, 32)
        for row in range(height // stride)
        for column in range(width // stride)
    ]
    answer = np.random.default_rng(0).normal(size=(len(cells), 5 + classes)).astype(np.float32)
    corners, scores = decode_grid(answer, height, width)
    assert (corners.shape, scores.shape) == ((len(cells), 4), (len(cells), classes))
    for index, (stride, row, column) in enumerate(cells):
        x, y, log_width, log_height, sure = (float(number) for number in answer[index, :5])
        middle, half = (x + column) * stride, math.exp(log_width) * stride / 2
        level, half_height = (y + row) * stride, math.exp(log_height) * stride / 2
        expected = (middle - half, level - half_height, middle + half, level + half_height)
        np.testing.assert_allclose(corners[index], expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(scores[index], sure * answer[index, 5:], rtol=1e-5)


def test_a_size_that_is_none_does_not_overflow() -> None:
    answer = np.full((96 + 24 + 6, 8), 1e6, dtype=np.float32)
    assert np.isfinite(decode_grid(answer, 64, 96)[0]).all()


def test_a_box_takes_away_those_that_it_overlaps() -> None:
    corners = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 4]], dtype=np.float32)
    kept = suppress(corners, np.array([0.5, 0.9, 0.6, 0.3], dtype=np.float32), 0.5)
    assert kept.tolist() == [1, 2, 3]


def boxes_of(*rows: tuple[tuple[float, ...], tuple[float, ...]]) -> tuple[Floats, Floats]:
    corners, scores = zip(*rows, strict=True)
    return np.array(corners, dtype=np.float32), np.array(scores, dtype=np.float32)


def test_a_rider_is_taken_into_the_box_and_a_passer_by_is_not() -> None:
    corners, scores = boxes_of(
        ((10, 40, 50, 90), (0, 0.9, 0)),  # a bicycle
        ((15, 0, 45, 80), (0.8, 0, 0)),  # who rides it
        ((48, 0, 80, 90), (0.8, 0, 0)),  # who stands beside it
    )
    [bicycle] = read_vehicles(corners, scores, OPTIONS)
    assert bicycle.box == (10, 0, 40, 90)


def test_a_car_stays_as_it_is_though_somebody_sits_in_it() -> None:
    corners, scores = boxes_of(((10, 40, 50, 90), (0, 0, 0.9)), ((15, 30, 45, 80), (0.8, 0, 0)))
    [car] = read_vehicles(corners, scores, OPTIONS)
    assert car.box == (10, 40, 40, 50)


def test_one_vehicle_taken_for_two_types_is_one() -> None:
    corners, scores = boxes_of(((0, 0, 40, 40), (0, 0.4, 0.6)), ((1, 0, 40, 40), (0, 0.7, 0.2)))
    [found] = read_vehicles(corners, scores, OPTIONS)
    assert found.type == "bicycle"
    assert found.score == pytest.approx(0.7)


def test_what_is_unsure_or_too_small_to_be_embedded_is_left_out() -> None:
    corners, scores = boxes_of(((0, 0, 40, 40), (0, 0, 0.29)), ((50, 0, 57, 40), (0, 0, 0.9)))
    assert read_vehicles(corners, scores, OPTIONS) == []
