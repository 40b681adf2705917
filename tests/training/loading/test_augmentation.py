from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.inputspec import InputSpec
from models.preprocessing import normalise, prepare
from training.config.embedder import AugmentationConfig
from training.loading.augmentation import Augmentation, Changes

SPEC = InputSpec(height=32, width=48)
NONE = AugmentationConfig(flip=0, erase=0)


def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def normalised() -> NDArray[np.float32]:
    return normalise(prepare(image(), SPEC), SPEC)


def test_without_changes_an_image_is_prepared_as_for_serving() -> None:
    found = Augmentation(SPEC, NONE)(image(), random.Random(0))
    np.testing.assert_array_equal(found, normalised())


def test_a_flip_is_the_mirror_image() -> None:
    found = Augmentation(SPEC, NONE).apply(image(), Changes(flip=True))
    np.testing.assert_array_equal(found, normalised()[:, :, ::-1])


def test_what_is_erased_takes_the_mean_colour_and_the_rest_stays() -> None:
    found = Augmentation(SPEC, NONE).apply(image(), Changes(erased=(4, 6, 10, 20)))
    expected = normalised()
    expected[:, 4:14, 6:26] = 0
    np.testing.assert_array_equal(found, expected)


def test_what_is_drawn_keeps_to_the_configuration() -> None:
    config = AugmentationConfig(crop=0.2, colour=0.3, shrink=0.5, grey=0.5)
    source = random.Random(1)
    drawn = [Augmentation(SPEC, config).draw(source) for _ in range(400)]
    assert 0.4 < sum(changes.flip for changes in drawn) / 400 < 0.6
    assert 0.4 < sum(changes.erased is not None for changes in drawn) / 400 < 0.6
    for changes in drawn:
        assert changes.crop is not None
        assert all(-0.05 <= part <= 0.2 for part in changes.crop)
        assert changes.colour is not None
        assert all(0.7 <= factor <= 1.3 for factor in changes.colour)
        if changes.erased is not None:
            top, left, tall, wide = changes.erased
            assert top + tall <= 32
            assert left + wide <= 48


def test_corners_that_do_not_move_are_those_of_the_crop() -> None:
    cropped = Augmentation(SPEC, NONE).apply(image(), Changes(crop=(0.1, 0.0, 0.05, 0.2)))
    found = Augmentation(SPEC, NONE).apply(image(), Changes(crop=(0.1, 0.0, 0.05, 0.2), corners=(0.0,) * 8))
    np.testing.assert_allclose(found, cropped, atol=0.1)


def test_a_moved_corner_shows_another_part_of_the_image() -> None:
    plain = Image.new("RGB", (60, 60), (0, 0, 0))
    plain.paste((255, 255, 255), (0, 0, 30, 60))
    found = Augmentation(SPEC, NONE).apply(plain, Changes(corners=(0.5, 0, 0, 0, 0, 0, 0, 0)))
    seen = Augmentation(SPEC, NONE).apply(plain, Changes())
    assert (found[0, 0] > found[0, 0].min()).sum() < (seen[0, 0] > seen[0, 0].min()).sum()
    np.testing.assert_allclose(found[0, -1, :20], seen[0, -1, :20], atol=0.1)


def test_styles_and_corners_are_drawn_after_all_others_and_leave_them_as_they_were() -> None:
    config = AugmentationConfig(crop=0.2, colour=0.3, shrink=0.5, grey=0.5)
    more = config.model_copy(update={"style": 1.0, "surroundings": 0.5, "corners": 0.1})
    plain, styled = (Augmentation(SPEC, each).draw(random.Random(4)) for each in (config, more))
    assert styled.style is not None
    assert styled.corners is not None
    assert all(abs(move) <= 0.1 for move in styled.corners)
    assert replace(styled, style=None, corners=None) == plain
