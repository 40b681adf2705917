"""Motion: what drives through is found, what the light does is not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.detection.vehicle import Box
from service.video.motion import WARM_FRAMES, MotionFinder, without_light
from tests.models.detection.scenes import iou
from tests.service.video.drives import SIZE, road


def warmed() -> MotionFinder:
    finder = MotionFinder()
    for _ in range(WARM_FRAMES):
        assert finder.find(road()) == []
    return finder


def with_square(image: Image.Image, box: Box) -> Image.Image:
    changed = image.copy()
    changed.paste((220, 210, 200), (box.x, box.y, box.x + box.width, box.y + box.height))
    return changed


def lit(image: Image.Image, gain: float, tilt: float) -> Image.Image:
    """In another light: brighter by a factor, and by another from left to right."""
    across = gain * (1 + tilt * np.linspace(-0.5, 0.5, image.width))
    return Image.fromarray(np.clip(np.asarray(image) * across[None, :, None], 0, 255).astype(np.uint8))


def test_what_appears_is_found_where_it_is() -> None:
    [found] = warmed().find(with_square(road(), Box(100, 60, 80, 60)))
    assert iou(found, Box(100, 60, 80, 60)) > 0.85


def test_two_things_are_two() -> None:
    frame = with_square(with_square(road(), Box(20, 60, 70, 60)), Box(200, 60, 70, 60))
    assert len(warmed().find(frame)) == 2


def test_an_empty_road_has_no_motion() -> None:
    assert warmed().find(road()) == []


@pytest.mark.parametrize(("gain", "tilt"), [(1.3, 0), (0.7, 0), (1, 0.4), (1.2, -0.4)])
def test_another_light_is_no_motion_and_hides_none(gain: float, tilt: float) -> None:
    assert warmed().find(lit(road(), gain, tilt)) == []
    [found] = warmed().find(lit(with_square(road(), Box(100, 60, 80, 60)), gain, tilt))
    assert iou(found, Box(100, 60, 80, 60)) > 0.8


def test_a_camera_that_moves_has_no_motion_of_vehicles() -> None:
    other = Image.fromarray(np.random.default_rng(1).integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8))
    assert warmed().find(other) == []


def test_what_is_too_small_to_be_told_from_another_is_left_out() -> None:
    assert warmed().find(with_square(road(), Box(100, 60, 14, 14))) == []


def test_boxes_of_large_frames_are_in_their_own_px() -> None:
    finder = MotionFinder()
    large = road().resize((SIZE[0] * 5, SIZE[1] * 5))
    for _ in range(WARM_FRAMES):
        finder.find(large)
    [found] = finder.find(with_square(large, Box(500, 300, 400, 300)))
    assert iou(found, Box(500, 300, 400, 300)) > 0.85


def test_the_light_is_taken_out() -> None:
    background = np.asarray(road())
    frame = np.asarray(lit(with_square(road(), Box(100, 60, 80, 60)), 1.3, 0.3))
    gap = np.abs(without_light(frame, background).astype(int) - background)
    gap[60:120, 100:180] = 0
    assert gap.max() <= 6


@pytest.mark.parametrize("size", [(1, 1), (30, 20), (20, 400)])
def test_frames_too_small_for_a_surface_stay_as_they_are(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, dtype=np.uint8)
    np.testing.assert_array_equal(without_light(image, image // 2), image)
