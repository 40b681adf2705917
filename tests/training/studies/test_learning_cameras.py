"""Learning cameras: the same pixels each time, and a style for each camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.datasets.image import VehicleImage
from training.studies.learning_cameras import ASIDE, FITTED, image_set, seen_by


def card() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3)).astype(np.uint8)
    return Image.fromarray(pixels).resize((100, 120), Image.Resampling.NEAREST)


def test_an_image_looks_the_same_each_time_and_another_to_each_camera() -> None:
    seen = [seen_by(number, card(), "a.jpg") for number in (*FITTED, *ASIDE)]
    again = [seen_by(number, card(), "a.jpg") for number in (*FITTED, *ASIDE)]
    assert [image.tobytes() for image in seen] == [image.tobytes() for image in again]
    means = np.array([np.asarray(image).mean(axis=(0, 1)) for image in seen])
    assert (np.linalg.norm(means[:, None] - means[None], axis=2) + 99 * np.eye(len(means)) > 1).all()
    assert set(FITTED).isdisjoint(ASIDE)


def test_a_camera_s_images_bear_its_name() -> None:
    made = image_set(4, [VehicleImage(Path("a.jpg"), "v", "cam2")])
    assert [image.camera_id for image in made.images] == ["own4"]
    assert made.change is not None
    assert made.change(card(), "a.jpg").tobytes() == seen_by(4, card(), "a.jpg").tobytes()
