from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.loading.style import Style, Surroundings, Tone


def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(30, 220, (40, 56, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def pixels_of(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image, np.float32)


def test_a_style_of_no_strength_leaves_the_image() -> None:
    style = Style.drawn(random.Random(0), 0.0, 0.0)
    np.testing.assert_allclose(pixels_of(style.of(image())), pixels_of(image()), atol=1)


def test_a_style_is_applied_the_same_way_each_time_and_leaves_its_image() -> None:
    original = image()
    style = Style.drawn(random.Random(3), 1.0, 1.0)
    first, second = style.of(original), style.of(original)
    np.testing.assert_array_equal(pixels_of(first), pixels_of(second))
    np.testing.assert_array_equal(pixels_of(original), pixels_of(image()))
    assert first.size == original.size
    assert first.mode == "RGB"


def test_styles_reach_from_dusk_to_glare_and_turn_colours() -> None:
    source = random.Random(1)
    means = np.array(
        [pixels_of(Style.drawn(source, 1.0, 0.0).of(image())).mean(axis=(0, 1)) for _ in range(200)]
    )
    brightness = means.mean(axis=1) / pixels_of(image()).mean()
    assert brightness.min() < 0.7
    assert brightness.max() > 1.3
    warmth = means[:, 0] / means[:, 2]
    assert warmth.min() < 0.85
    assert warmth.max() > 1.15


def test_other_surroundings_keep_the_middle_of_the_image() -> None:
    tone = Tone((0.5, 0.5, 0.5), 1.0, 1.0, 1.0, 0.0)
    around = Surroundings(tone, (1.0, 0.0, 0.0), 1.0, (0.8, 0.8))
    grey = np.full((41, 41, 3), 0.5, np.float32)
    changed = around.of(grey)
    np.testing.assert_array_equal(changed[10:31, 10:31], grey[10:31, 10:31])
    np.testing.assert_allclose(changed[0, 0], [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_surroundings_change_as_often_as_is_asked_for(share: float) -> None:
    source = random.Random(5)
    drawn = [Style.drawn(source, 1.0, share).surroundings is not None for _ in range(300)]
    assert abs(np.mean(drawn) - share) < 0.1
