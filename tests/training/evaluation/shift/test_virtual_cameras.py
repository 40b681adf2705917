"""Virtual cameras and degradations: what they do is fixed, and each does what it says."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from training.evaluation.shift import changes
from training.evaluation.shift.degradations import DEGRADATIONS, OCCLUSIONS, degraded, hidden_box
from training.evaluation.shift.virtual_cameras import VIRTUAL_CAMERAS, VirtualCamera


def scene(width: int = 90, height: int = 120) -> Image.Image:
    """A reddish box on a road, with texture."""
    pixels = np.random.default_rng(5).normal(120, 20, (height, width, 3))
    pixels[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] += (60, -20, -30)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def mean(image: Image.Image) -> np.ndarray:
    found: np.ndarray = np.asarray(image, dtype=np.float64).mean(axis=(0, 1))
    return found


@pytest.mark.parametrize("camera", VIRTUAL_CAMERAS, ids=lambda camera: camera.name)
def test_an_image_is_changed_and_the_same_each_time(camera: VirtualCamera) -> None:
    image = scene()
    before = image.tobytes()
    seen = camera.see(image, "a.jpg")
    assert image.tobytes() == before
    assert seen.mode == "RGB"
    random.seed(99)
    assert seen.tobytes() == camera.see(scene(), "a.jpg").tobytes()
    assert seen.resize(image.size).tobytes() != before


def test_each_image_of_a_camera_has_its_own_jitter() -> None:
    camera = VirtualCamera("plain", "")
    first, second = (camera.see(scene(), name) for name in ("a.jpg", "b.jpg"))
    assert first.size != second.size or first.tobytes() != second.tobytes()
    assert np.abs(mean(first) - mean(second)).max() < 25


def test_there_are_ten_cameras_and_the_first_is_darker_bluer_and_richer_in_contrast() -> None:
    assert len({camera.name for camera in VIRTUAL_CAMERAS}) == 10
    dark = VIRTUAL_CAMERAS[0].see(scene(), "a.jpg")
    assert mean(dark).mean() < 0.75 * mean(scene()).mean()
    share = mean(dark) / mean(dark).sum() - mean(scene()) / mean(scene()).sum()
    assert share[2] > 0.03 > 0 > share[0]
    # Of areas, not of the noise, which JPEG takes away.
    red = [np.asarray(changes.shrunk(each, 12), dtype=np.float64)[..., 0] for each in (dark, scene())]
    contrast = [each.std() / each.mean() for each in red]
    assert contrast[0] > 1.2 * contrast[1]


@pytest.mark.parametrize("size", [(1, 1), (30, 8), (7, 300)])
def test_tiny_and_narrow_images_pass(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (90, 80, 70))
    for camera in VIRTUAL_CAMERAS:
        assert min(camera.see(image, "a.jpg").size) >= 1
    for kind in DEGRADATIONS:
        assert min(degraded(image, kind, "a.jpg").size) >= 1


@pytest.mark.parametrize("kind", list(DEGRADATIONS | OCCLUSIONS))
def test_degradations_are_seeded_by_the_file(kind: str) -> None:
    first = degraded(scene(), kind, "a.jpg")
    assert first.tobytes() == degraded(scene(), kind, "a.jpg").tobytes()
    assert first.tobytes() != scene().tobytes()


@pytest.mark.parametrize("kind", list(OCCLUSIONS))
def test_what_is_hidden_of_a_degraded_image_is_known(kind: str) -> None:
    red = Image.new("RGB", (200, 160), (255, 0, 0))
    changed = (np.asarray(degraded(red, kind, "a.jpg")) != np.asarray(red)).any(axis=2)
    left, top, right, bottom = hidden_box(kind, "a.jpg")
    expected = np.zeros((160, 200), dtype=bool)
    expected[round(160 * top) : round(160 * bottom), round(200 * left) : round(200 * right)] = True
    assert (changed == expected).all()


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("aspect", [0.01, 0.5, 1, 2, 100])
def test_an_occlusion_hides_the_share_that_it_says(share: float, aspect: float) -> None:
    black = Image.new("RGB", (200, 160))
    hidden = changes.occluded(black, share, aspect=aspect, place=(1, 0.3), grey=200)
    assert (np.asarray(hidden)[..., 0] == 200).mean() == pytest.approx(share, abs=0.01)


def test_a_stop_doubles_the_light_and_what_is_beyond_white_is_lost() -> None:
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    brighter = np.asarray(changes.recoloured(grey, stops=1))[0, 0, 0]
    assert (brighter / 255) ** changes.GAMMA == pytest.approx(2 * (100 / 255) ** changes.GAMMA, rel=0.02)
    assert (np.asarray(changes.recoloured(grey, stops=9)) == 255).all()


def test_an_image_is_shrunk_and_never_enlarged() -> None:
    assert changes.shrunk(scene(90, 120), 60).size == (45, 60)
    assert changes.shrunk(scene(30, 40), 60).size == (30, 40)
