from __future__ import annotations

import random

import numpy as np
from PIL import Image

from models.inputspec import InputSpec
from models.preprocessing import prepare
from training.config.embedder import AugmentationConfig
from training.loading.augmentation import Augmentation, Changes

SPEC = InputSpec(height=32, width=48)
NONE = AugmentationConfig(flip=0, erase=0)


def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def test_without_changes_an_image_is_prepared_as_for_serving() -> None:
    found = Augmentation(SPEC, NONE)(image(), random.Random(0))
    np.testing.assert_array_equal(found, prepare(image(), SPEC))


def test_a_flip_is_the_mirror_image() -> None:
    found = Augmentation(SPEC, NONE).apply(image(), Changes(flip=True))
    np.testing.assert_array_equal(found, prepare(image(), SPEC)[:, :, ::-1])


def test_what_is_erased_takes_the_mean_colour_and_the_rest_stays() -> None:
    found = Augmentation(SPEC, NONE).apply(image(), Changes(erased=(4, 6, 10, 20)))
    expected = prepare(image(), SPEC)
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
