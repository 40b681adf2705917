"""Ordinary JPEGs take a shorter way to the same pixels; Pillow is the judge of all others."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from models.decoding import ImageError, decode
from models.decoding.imagefile import decode_frame
from models.decoding.jpeg import decode_ordinary, open_jpeg
from tests.models.decoding.samples import encoded, exif, orientation, scene
from tests.models.decoding.test_fuzz import mutated

FILES = 500
NOISE = Image.effect_noise((97, 61), 80).convert("RGB")


def by_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Image.Image | str:
    """What `decode` makes of a file without the shorter way: an image, or why there is none."""
    with monkeypatch.context() as patched:
        patched.setattr("models.decoding.imagefile.decode_ordinary", lambda *_: None)
        return outcome(data)


def outcome(data: bytes) -> Image.Image | str:
    try:
        return decode(data)
    except ImageError as error:
        return str(error)


def same(one: Image.Image | str, other: Image.Image | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("image", [scene(), NOISE], ids=["scene", "noise"])
@pytest.mark.parametrize(
    "options",
    [
        *[{"subsampling": subsampling} for subsampling in ("4:4:4", "4:2:2", "4:2:0")],
        {"progressive": True},
        {"quality": 15},
        {"restart_marker_blocks": 1},
        {"keep_rgb": True},
        {"optimize": True, "exif": b"Exif\0\0" + exif([orientation(6)])},
    ],
    ids=str,
)
def test_an_ordinary_jpeg_has_the_pixels_of_pillow(
    image: Image.Image, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(image, "JPEG", **options)
    assert decode_ordinary(open_jpeg(data)) is not None
    assert same(decode(data), by_pillow(data, monkeypatch))


@pytest.mark.parametrize(
    "data",
    [
        encoded(scene().convert("CMYK"), "JPEG"),
        encoded(scene().convert("L"), "JPEG"),
        encoded(NOISE, "JPEG")[:-400],
        encoded(NOISE, "JPEG")[:1500] + b"\0" * 60 + encoded(NOISE, "JPEG")[1500:],
    ],
    ids=["cmyk", "grey", "cut short", "damaged"],
)
def test_pillow_judges_what_is_not_ordinary(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode_ordinary(open_jpeg(data)) is None
    assert same(outcome(data), by_pillow(data, monkeypatch))


@pytest.mark.parametrize(
    ("size", "side", "decoded"),
    [
        ((193, 97), 16, (97, 49)),
        ((190, 95), 16, (190, 95)),
        ((301, 192), 16, (76, 48)),
        ((385, 390), 16, (49, 49)),
        ((900, 60), 16, (900, 60)),
        ((900, 900), None, (900, 900)),
    ],
    ids=["half", "just too small for a half", "quarter", "eighth", "narrow", "no side known"],
)
def test_a_jpeg_much_larger_than_the_input_is_decoded_smaller_where_only_that_is_wanted(
    size: tuple[int, int], side: int | None, decoded: tuple[int, int]
) -> None:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    data = encoded(image, "JPEG", exif=b"Exif\0\0" + exif([orientation(6)]))
    upright = size[::-1]
    found = decode_frame(data, side=side)
    assert found.image.size == decoded[::-1]
    assert (found.width, found.height) == upright
    near = np.asarray(decode(data).resize((8, 8), Image.Resampling.BOX), dtype=int)
    assert np.abs(np.asarray(found.image.resize((8, 8), Image.Resampling.BOX), dtype=int) - near).max() <= 4
    assert decode_frame(data, whole=True, side=side).image.size == upright


def test_one_that_is_cut_short_is_refused_at_every_scale() -> None:
    data = encoded(NOISE.resize((400, 400)), "JPEG")
    cut = data[: len(data) // 2]
    with pytest.raises(ImageError, match="cut short") as whole:
        decode(cut)
    with pytest.raises(ImageError) as smaller:
        decode_frame(cut, side=16)
    assert str(smaller.value) == str(whole.value)


@pytest.mark.filterwarnings("ignore")
def test_mutated_jpegs_have_the_same_outcome_by_either_way(
    source: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [encoded(NOISE, "JPEG", **options) for options in ({}, {"progressive": True}, {"quality": 30})]
    ordinary = 0
    for _ in range(FILES):
        data = mutated(source.choice(files), source, files)
        found = outcome(data)
        assert same(found, by_pillow(data, monkeypatch)), data
        ordinary += not isinstance(found, str)
    assert ordinary > FILES / 10
