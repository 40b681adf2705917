"""Crops: margins, edges of the frame, and which vehicle is the largest."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.detection import crop
from models.detection.crop import cut, largest, with_margin, within
from models.detection.vehicle import Box


def test_a_margin_is_a_share_of_each_side() -> None:
    assert with_margin(Box(100, 50, 40, 20), 0.1, 500, 500) == (96, 48, 48, 24)


def test_a_margin_ends_at_the_frame() -> None:
    assert with_margin(Box(0, 90, 40, 10), 0.5, 50, 100) == (0, 85, 50, 15)


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((10, 10, 20, 20), (10, 10, 20, 20)),
        ((-5, -5, 20, 20), (0, 0, 15, 15)),
        ((90, 40, 50, 50), (90, 40, 10, 10)),
        ((200, 10, 20, 20), (100, 10, 0, 20)),
        ((-50, 10, 20, 20), (0, 10, 0, 20)),
        ((0.4, 0.6, 9.9, 9.9), (0, 1, 10, 9)),
        ((10, 10, -5, 20), (10, 10, 0, 20)),
    ],
)
def test_of_a_box_the_part_inside_the_frame_is_left(box: tuple[float, ...], inside: tuple[int, ...]) -> None:
    assert within(box, 100, 50) == inside


def test_the_largest_is_that_of_the_largest_area() -> None:
    assert largest([Box(0, 0, 10, 10), Box(0, 0, 5, 30), Box(0, 0, 30, 5)]) == 1


def test_a_crop_shows_what_is_in_the_box() -> None:
    frame = Image.new("RGB", (64, 64), (0, 0, 255))
    frame.paste((250, 10, 10), (16, 24, 48, 40))
    with Image.open(io.BytesIO(cut(frame, Box(16, 24, 32, 16)))) as crop:
        assert (crop.format, crop.size) == ("JPEG", (32, 16))
        assert np.abs(np.asarray(crop, dtype=int) - [250, 10, 10]).max() < 4


def test_noise_does_not_make_files_many_times_as_large_as_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit a pixel, which a PNG file holds in 11 KB: at the first quality the crop has ten times that."""
    bits = np.random.default_rng(0).integers(0, 2, (300, 300, 1), dtype=np.uint8)
    frame = Image.fromarray(np.repeat(bits * 255, 3, axis=2))
    whole = Box(0, 0, 300, 300)
    as_usual = cut(frame, whole)
    assert len(as_usual) > 8 * 300 * 300 / 8
    monkeypatch.setattr(crop, "MOST_BYTES", 60_000)
    assert len(cut(frame, whole)) <= 60_000
    assert cut(frame, whole) == cut(frame, whole)
    monkeypatch.setattr(crop, "MOST_BYTES", 1000)
    assert Image.open(io.BytesIO(cut(frame, whole))).size == (300, 300), (
        "the last quality is taken as it comes"
    )
    monkeypatch.undo()
    assert cut(frame, whole) == as_usual
