"""Detecting and cutting in decoding processes: pixels of the upright image, deadlines, and odd answers."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.decoding import BoxError, DetectorError, ImageError, process
from models.decoding.pool import DecodePool
from models.detection.bundle import DEFAULT_DETECTOR, DetectorBundle
from tests.models.detection.scenes import FRAME, RED_CAR, file_of, iou

DETECTOR = DetectorBundle.load(DEFAULT_DETECTOR).described()


def soon() -> float:
    return time.monotonic() + 30


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(1)
    yield pool
    pool.close()


def frame() -> Image.Image:
    with Image.open(FRAME) as image:
        return image.convert("RGB")


def test_a_file_is_looked_at_in_another_process(pool: DecodePool) -> None:
    found = pool.detect(FRAME.read_bytes(), DETECTOR, soon()).result()
    assert (found.width, found.height) == (768, 432)
    [car] = found.vehicles
    assert iou(car.box, RED_CAR) > 0.85


def test_boxes_are_of_the_image_as_it_is_looked_at(pool: DecodePool) -> None:
    lying = frame().rotate(90, expand=True)
    exif = lying.getexif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    file = file_of(lying, "JPEG", exif=exif, quality=95)
    found = pool.detect(file, DETECTOR, soon()).result()
    assert (found.width, found.height) == (768, 432)
    assert iou(found.vehicles[0].box, RED_CAR) > 0.85
    [crop] = pool.cut(file, [RED_CAR], 0, soon()).result()
    with Image.open(io.BytesIO(crop.data)) as image:
        gap = np.asarray(image, dtype=int) - np.asarray(frame().crop((307, 6, 452, 225)), dtype=int)
    assert np.abs(gap).mean() < 4


def test_boxes_are_of_the_whole_image_where_a_large_jpeg_is_decoded_smaller(pool: DecodePool) -> None:
    large = frame().resize((768 * 5, 432 * 5))
    file = file_of(large, "JPEG", quality=80)
    found = pool.detect(file, DETECTOR, soon()).result()
    assert (found.width, found.height) == large.size
    [car] = found.vehicles
    assert iou(car.box, type(RED_CAR)(*(5 * side for side in RED_CAR))) > 0.85
    # A crop has all the pixels that there are.
    [crop] = pool.cut(file, [car.box], 0.1, soon()).result()
    with Image.open(io.BytesIO(crop.data)) as image:
        assert image.size == (crop.region.width, crop.region.height)
    assert crop.region.width == pytest.approx(1.2 * car.box.width, abs=2)


def test_several_boxes_are_cut_in_their_order(pool: DecodePool) -> None:
    image = Image.new("RGB", (100, 60))
    image.paste((255, 0, 0), (0, 0, 50, 60))
    image.paste((0, 0, 255), (50, 0, 100, 60))
    crops = pool.cut(file_of(image), [(60, 10, 20, 20), (10, 10, 20, 30)], 0, soon()).result()
    assert [crop.region for crop in crops] == [(60, 10, 20, 20), (10, 10, 20, 30)]
    colours = [np.asarray(Image.open(io.BytesIO(crop.data)).resize((1, 1)))[0, 0] for crop in crops]
    np.testing.assert_allclose(colours, [(0, 0, 255), (255, 0, 0)], atol=4)


@pytest.mark.parametrize("box", [(200, 0, 50, 50), (-50, 0, 50, 50), (0, 0, 7, 50), (95, 0, 50, 50)])
def test_a_box_with_too_little_inside_is_named(pool: DecodePool, box: tuple[int, ...]) -> None:
    said = f"{','.join(map(str, box))} has no 8 x 8 px inside the image, which has 100 x 60 px"
    with pytest.raises(BoxError, match=said):
        pool.cut(file_of(Image.new("RGB", (100, 60))), [(0, 0, 20, 20), box], 0, soon()).result()


def test_what_is_no_image_is_refused(pool: DecodePool) -> None:
    for future in (pool.detect(b"%PDF", DETECTOR, soon()), pool.cut(b"%PDF", [(0, 0, 9, 9)], 0, soon())):
        with pytest.raises(ImageError):
            future.result()


def test_a_detector_that_does_not_load_says_why_and_the_process_lives_on(
    pool: DecodePool, tmp_path: Path
) -> None:
    pids = pool.pids
    gone = dict(DETECTOR, file=str(tmp_path / "gone.onnx"), sha256="0" * 64)
    with pytest.raises(DetectorError, match=r"gone\.onnx: No such file"):
        pool.detect(FRAME.read_bytes(), gone, soon()).result()
    assert pool.detect(FRAME.read_bytes(), DETECTOR, soon()).result().vehicles
    assert pool.pids == pids or not pids


@pytest.fixture
def obedient(monkeypatch: pytest.MonkeyPatch) -> Iterator[DecodePool]:
    """A process that a file tells what to say; see `obedient_child`."""
    monkeypatch.setattr(process, "CHILD", "tests.models.decoding.obedient_child")
    pool = DecodePool(1)
    yield pool
    pool.close()


def test_a_frame_that_takes_too_long_ends_its_process(obedient: DecodePool) -> None:
    obedient.start()
    obedient.wait_until_ready()
    (first,) = obedient.pids
    with pytest.raises(TimeoutError, match="deadline"):
        obedient.detect(b"wait", DETECTOR, time.monotonic() + 0.2).result()
    assert obedient.pids != [first]


LIES = [
    b'{"size": [9, 9]}',
    b'{"size": [9999, 9999], "vehicles": []}',
    b'{"size": [9, "9"], "vehicles": []}',
    b'{"size": [99, 99], "vehicles": [[[0, 0, 100, 9], "car", 0.5]]}',
    b'{"size": [99, 99], "vehicles": [[[0, 0, 9, 9], "tank", 0.5]]}',
    b'{"size": [99, 99], "vehicles": [[[0, 0, 9, 9], "car", 2.5]]}',
    b'{"size": [99, 99], "vehicles": [[[0, 0, 9, 9], "car"]]}',
]
LIES_OF_CUTS = [
    b'{"size": [99, 99], "lengths": [5], "regions": []}',
    b'{"size": [99, 99], "lengths": [-5], "regions": [[0, 0, 9, 9]]}',
    b'{"size": [99, 99], "lengths": [900000000], "regions": [[0, 0, 9, 9]]}',
    b'{"size": [99, 99], "lengths": [5, 5], "regions": [[0, 0, 9, 9], [0, 0, 9, 9]]}',
    b'{"size": [99, 99], "outside": 7}',
]


def first_of(lies: Sequence[bytes]) -> list[Any]:
    """All, but only the first where tests are to be quick: a process is started for each."""
    return [lies[0], *(pytest.param(lie, marks=pytest.mark.slow) for lie in lies[1:])]


@pytest.mark.parametrize("lie", first_of(LIES))
def test_a_process_that_finds_what_cannot_be_is_ended(obedient: DecodePool, lie: bytes) -> None:
    with pytest.raises(ImageError, match="ends the process that decodes it"):
        obedient.detect(b"say " + lie, DETECTOR, soon()).result()


@pytest.mark.parametrize("lie", first_of(LIES_OF_CUTS))
def test_a_process_that_cuts_what_cannot_be_is_ended(obedient: DecodePool, lie: bytes) -> None:
    with pytest.raises(ImageError, match="ends the process that decodes it"):
        obedient.cut(b"say " + lie, [(0, 0, 9, 9)], 0, soon()).result()
