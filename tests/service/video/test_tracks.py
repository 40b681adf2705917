"""What is kept of a track: the best crops, apart in time; and whether it is a vehicle."""

from __future__ import annotations

import io
from itertools import pairwise

from PIL import Image

from models.detection.vehicle import Box
from service.video.tracks import EVIDENCE, Sighting, Track, worth
from tests.service.video.drives import SIZE, plain


def track_of(*boxes: Box, crops: int = 1, score: float = 0.9) -> Track:
    """A track with a sighting in each frame, ten a second."""
    track = Track(0, crops)
    for number, box in enumerate(boxes):
        track.add(plain(number), Sighting(box, score, "car"), 0.1)
    return track


def test_the_best_crop_is_the_largest_that_is_whole() -> None:
    small, large, cut = Box(20, 20, 40, 30), Box(60, 40, 90, 60), Box(200, 0, 120, 150)
    [crop] = track_of(small, large, small, cut).best
    assert (crop.frame, crop.image.size) == (1, (108, 72))


def test_of_what_is_never_whole_the_largest_is_taken() -> None:
    [crop] = track_of(Box(0, 20, 40, 30), Box(0, 20, 90, 60)).best
    assert crop.frame == 1


def test_a_sure_box_is_worth_more_than_motion_alone() -> None:
    box = Box(20, 20, 40, 30)
    assert worth(Sighting(box, 0.9, "car"), SIZE) > worth(Sighting(box), SIZE)


def test_several_crops_are_apart_in_time_and_the_best_is_first() -> None:
    boxes = [Box(20 + number, 20, 60 + number, 40) for number in range(30)]
    crops = track_of(*boxes, crops=3).best
    assert len(crops) == 3
    assert [crop.quality for crop in crops] == sorted((crop.quality for crop in crops), reverse=True)
    frames = sorted(crop.frame for crop in crops)
    assert all(later - earlier >= 5 for earlier, later in pairwise(frames))
    assert frames[-1] == 29


def test_of_a_vehicle_that_stays_no_more_crops_are_held_than_needed() -> None:
    track = track_of(*[Box(60, 40, 90, 60 + number % 7) for number in range(300)], crops=2)
    assert len(track._candidates) <= 8
    assert len(track.best) == 2


def test_a_crop_far_worse_than_the_best_is_left_out() -> None:
    boxes = [Box(60, 40, 90, 60)] * 3 + [Box(0, 40, 20, 20)] * 12
    assert [crop.frame for crop in track_of(*boxes, crops=3).best] == [0]


def test_a_crop_is_an_image_file() -> None:
    [crop] = track_of(Box(60, 40, 90, 60)).best
    with Image.open(io.BytesIO(crop.file())) as image:
        assert (image.format, image.size) == ("JPEG", crop.image.size)


def test_three_sure_frames_make_a_vehicle() -> None:
    box = Box(60, 40, 90, 60)
    assert track_of(box, box, box, score=EVIDENCE / 3 + 0.01).is_vehicle
    assert not track_of(*[box] * 30, score=EVIDENCE / 3 - 0.01).is_vehicle
    assert not track_of(box, box).is_vehicle


def test_a_vehicle_is_of_the_type_that_was_seen_most_surely() -> None:
    track, box = Track(0), Box(60, 40, 90, 60)
    for number, (kind, score) in enumerate([("bus", 0.3), ("car", 0.8), ("bus", 0.3)]):
        track.add(plain(number), Sighting(box, score, kind), 0.1)  # type: ignore[arg-type]
    assert track.type == "car"
    motion = Track(0)
    motion.add(plain(0), Sighting(box), 0.1)
    assert (motion.type, motion.sightings) == (None, 1)
