"""Tracks: one a car on Intel's video, and what begins, continues and ends them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import ImageStat

from models.detection.bundle import DEFAULT_DETECTOR, DetectorBundle
from models.detection.loading import load_detector
from models.detection.vehicle import Box, Vehicle
from service.video.looking import look_through
from service.video.motion import MotionFinder
from service.video.position import Position
from service.video.reading import VideoFile
from service.video.tracking import IDLE_S, LOST_S, UNSURE, Options, VehicleTracker, sightings
from service.video.tracks import Track
from tests.models.detection.scenes import iou
from tests.service.video.drives import FOUR_CARS, Sees, car_at, plain

OPTIONS = Options(rate=10, sure=0.35, margin=0.1)

# Where each of the four cars is whole, measured by eye: frame of the clip, box.
BY_EYE = (
    (63, Box(286, 36, 164, 262), "white"),
    (124, Box(108, 82, 154, 302), "blue"),
    (132, Box(312, 54, 150, 246), "red"),
    (178, Box(130, 68, 182, 340), "white"),
)


@pytest.mark.slow
def test_one_track_a_car_on_a_real_video() -> None:
    detector = DetectorBundle.load(DEFAULT_DETECTOR)
    video = VideoFile(FOUR_CARS)
    tracker = VehicleTracker(
        load_detector(detector.described() | {"score": UNSURE}, threads=1),
        Options(video.rate, detector.manifest.score, detector.manifest.margin),
        MotionFinder(),
    )
    tracks = [track for look in look_through(video, tracker, Position(), 1) for track in look.ended]
    # The four that drive through, counted by eye: no more and no fewer.
    assert [track.first for track in tracks] == pytest.approx([41, 100, 106, 162], abs=3)
    for track, (frame, box, colour) in zip(tracks, BY_EYE, strict=True):
        [crop] = track.best
        assert abs(crop.frame - frame) <= 4
        # Whole, with a margin: about 1.2 x 1.2 times its box.
        assert crop.image.width * crop.image.height == pytest.approx(1.44 * box.area, rel=0.35)
        red, green, _ = ImageStat.Stat(crop.image).mean
        assert (red > 1.2 * green) == (colour == "red")


# The first box of a track begins it, and is not counted among its sightings.
def tracked(found: dict[int, list[Vehicle]], frames: int, options: Options = OPTIONS) -> list[Track]:
    tracker = VehicleTracker(Sees(found), options, None)
    ended = [track for number in range(frames) for track in tracker.look(plain(number))]
    return [*ended, *tracker.end()]


def test_two_vehicles_have_a_track_each() -> None:
    found = {number: [car_at(5 * number), car_at(230 - 5 * number, top=130)] for number in range(12)}
    tracks = tracked(found, 40)
    assert [(track.first, track.sightings) for track in tracks] == [(1, 11), (1, 11)]


def test_unsure_boxes_continue_a_track_and_begin_none() -> None:
    found = {number: [car_at(5 * number, 0.9 if number < 4 else 0.15)] for number in range(12)}
    [track] = tracked(found, 40)
    assert track.sightings == 11
    assert tracked({number: [car_at(5 * number, 0.15)] for number in range(12)}, 40) == []


def test_a_vehicle_that_is_hidden_for_a_moment_is_the_same() -> None:
    found = {number: [car_at(5 * number)] for number in range(20) if not 8 <= number < 13}
    [track] = tracked(found, 40)
    assert track.sightings == 14


def test_after_a_while_it_is_another_one() -> None:
    gone = int(LOST_S * OPTIONS.rate) + 5
    found = {number: [car_at(100)] for number in (*range(5), *range(5 + gone, 10 + gone))}
    assert [track.first for track in tracked(found, 60)] == [1, 6 + gone]


def test_a_track_is_given_when_it_has_ended() -> None:
    tracker = VehicleTracker(Sees({number: [car_at(100)] for number in range(5)}), OPTIONS, None)
    ended = [number for number in range(40) if tracker.look(plain(number))]
    assert ended == [4 + int(LOST_S * OPTIONS.rate) + 1]
    assert tracker.is_quiet


def test_what_the_detector_never_sees_is_no_vehicle() -> None:
    class Moving(MotionFinder):
        def find(self, frame: object) -> list[Box]:  # noqa: ARG002
            return [Box(100, 60, 80, 60)]

    tracker = VehicleTracker(Sees({}), OPTIONS, Moving())
    assert [track for number in range(20) for track in tracker.look(plain(number))] == []
    assert tracker.end() == []


def test_where_nothing_moves_the_detector_looks_once_in_a_while() -> None:
    class Still(MotionFinder):
        def find(self, frame: object) -> list[Box]:  # noqa: ARG002
            return []

    detector = Sees({})
    tracker = VehicleTracker(detector, OPTIONS, Still())
    for number in range(50):
        tracker.look(plain(number))
    assert detector.calls == 5 * IDLE_S


def boxes(vehicles: Sequence[Vehicle], moving: Sequence[Box]) -> list[tuple[Box, float]]:
    return [(sighting.box, sighting.score) for sighting in sightings(vehicles, moving, 0.35)]


def test_a_vehicle_that_also_moves_is_seen_once() -> None:
    car = car_at(100)
    assert boxes([car], [Box(96, 58, 88, 66)]) == [(car.box, 0.9)]


def test_what_moves_elsewhere_is_seen_too() -> None:
    car, other = car_at(100), Box(220, 60, 80, 60)
    assert boxes([car], [other]) == [(car.box, 0.9), (other, 0.0)]


def test_two_vehicles_whose_motion_is_one_are_the_vehicles_alone() -> None:
    cars = [car_at(60), car_at(180)]
    assert boxes(cars, [Box(60, 60, 200, 60)]) == [(car.box, 0.9) for car in cars]
    assert iou(cars[0].box, cars[1].box) == 0
