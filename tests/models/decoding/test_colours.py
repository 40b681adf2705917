"""Colours: what is transparent is one colour, and deep samples keep their brightness."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.decoding import ImageError, decode
from models.decoding.colours import BACKGROUND
from tests.models.decoding.samples import (
    chunk,
    deep_png,
    encoded,
    entry,
    far_apart,
    pixels,
    scene,
    with_chunks,
)


def cut_out(mode: str, seed: int) -> Image.Image:
    """The scene within a frame that is transparent; what the frame hides depends on `seed`."""
    colours = np.array(scene())
    alpha = np.zeros(colours.shape[:2], dtype=np.uint8)
    alpha[6:-6, 6:-6] = 255
    hidden = np.random.default_rng(seed).integers(0, 256, colours.shape, dtype=np.uint8)
    image = Image.fromarray(np.where(alpha[..., None] == 0, hidden, colours))
    image = image.quantize(64).convert(mode) if mode == "PA" else image.convert(mode)
    image.putalpha(Image.fromarray(alpha))
    return image


def inside(image: Image.Image) -> NDArray[np.int16]:
    return pixels(image)[6:-6, 6:-6]


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}),
        ("TIFF", "RGBA", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
        ("TIFF", "LA", {}),
        ("TIFF", "PA", {}),
        ("HEIF", "RGBA", {"quality": -1, "chroma": 444}),
    ],
)
def test_what_is_hidden_by_transparency_does_not_count(kind: str, mode: str, options: dict[str, Any]) -> None:
    first, second = (decode(encoded(cut_out(mode, seed), kind, **options)) for seed in (1, 2))
    assert first.getpixel((2, 2)) == BACKGROUND
    frame = pixels(first)
    frame[6:-6, 6:-6] = BACKGROUND
    assert (frame == BACKGROUND).all()
    if mode != "PA":
        assert np.array_equal(pixels(first), pixels(second))
        expected = scene().convert(mode.removesuffix("A")).convert("RGB")
        assert np.abs(inside(first) - inside(expected)).max() <= 1


def test_what_is_half_transparent_is_mixed_with_the_background() -> None:
    half = Image.new("RGBA", (16, 16), (228, 28, 128, 128))
    found = np.array(decode(encoded(half)).getpixel((8, 8)), dtype=int)
    assert np.abs(found - (178, 78, 128)).max() <= 1


def test_an_opaque_image_is_not_touched() -> None:
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        found = decode(encoded(scene().convert("RGBA"), kind, **options))
        assert np.array_equal(pixels(found), pixels(scene()))


def test_a_palettes_transparent_colours_are_the_background() -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([9, 9, 9, 200, 100, 50, 30, 30, 30])
    image.paste(0, (0, 0, 4, 16))
    image.paste(2, (4, 0, 8, 16))
    one = decode(encoded(image, transparency=0))
    several = decode(encoded(image, transparency=b"\x00\xff\x00"))
    gif = decode(encoded(image, "GIF", transparency=0))
    for found in (one, gif):
        assert [found.getpixel((x, 8)) for x in (1, 5, 12)] == [BACKGROUND, (30, 30, 30), (200, 100, 50)]
    assert [several.getpixel((x, 8)) for x in (1, 5, 12)] == [BACKGROUND, BACKGROUND, (200, 100, 50)]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_the_background(depth: int) -> None:
    top = (1 << depth) - 1
    values = np.zeros((16, 16), dtype=np.uint16)
    values[:, 8:] = top
    if depth == 16:
        data = deep_png(values, chunk(b"tRNS", struct.pack(">H", top)))
    else:
        whole = encoded(Image.fromarray((values > 0).astype(np.uint8) * 255).convert("1"))
        if depth == 1:
            data = with_chunks(whole, chunk(b"tRNS", struct.pack(">H", 1)))
        else:
            data = shallow_png(values, depth, chunk(b"tRNS", struct.pack(">H", top)))
    found = decode(data)
    assert (found.getpixel((2, 2)), found.getpixel((12, 2))) == ((0, 0, 0), BACKGROUND)


def shallow_png(values: NDArray[np.uint16], depth: int, *chunks: bytes) -> bytes:
    """A PNG of grey samples of 2, 4 or 8 bits."""
    per_byte = 8 // depth
    rows = []
    for row in values:
        packed = [
            sum(int(value) << depth * (per_byte - 1 - place) for place, value in enumerate(group))
            for group in row.reshape(-1, per_byte)
        ]
        rows.append(b"\0" + bytes(packed))
    height, width = values.shape
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + chunk(b"IEND", b"")


def test_a_transparent_colour_is_the_background_and_its_neighbours_are_not() -> None:
    colours = np.full((16, 16, 3), (10, 200, 30), dtype=np.uint8)
    colours[:, 8:] = (10, 200, 31)
    data = with_chunks(encoded(Image.fromarray(colours)), chunk(b"tRNS", struct.pack(">3H", 10, 200, 30)))
    found = decode(data)
    assert (found.getpixel((2, 2)), found.getpixel((12, 2))) == (BACKGROUND, (10, 200, 31))


def test_a_transparent_colour_of_16_bits_is_distinguished_from_one_that_shares_its_first_bytes() -> None:
    colours = np.full((16, 16, 3), (0x1001, 0x2002, 0xF003), dtype=np.uint16)
    colours[:, 8:] = (0x1001, 0x2002, 0xF004)
    key = chunk(b"tRNS", struct.pack(">3H", 0x1001, 0x2002, 0xF003))
    found = decode(deep_png(colours, key))
    assert (found.getpixel((2, 2)), found.getpixel((12, 2))) == (BACKGROUND, (0x10, 0x20, 0xF0))


def test_a_bmp_whose_alpha_was_never_set_is_opaque() -> None:
    colours = np.dstack([np.asarray(scene())[..., ::-1], np.zeros(scene().size[::-1], dtype=np.uint8)])
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 56, *scene().size, 1, 32, 3, 0, 0, 0, 0, 0) + masks
    body = colours[::-1].tobytes()
    start = 14 + len(header)
    data = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + body
    assert np.array_equal(pixels(decode(data)), pixels(scene()))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_a_pixel_keep_their_brightness(kind: str) -> None:
    grey = np.full((16, 16), 40_000, dtype=np.uint16)
    assert decode(encoded(Image.fromarray(grey), kind)).getpixel((3, 3)) == (156, 156, 156)


GREY = np.asarray(scene().convert("L")).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_greys_of_a_camera_with_fewer_bits_than_the_file_keep_their_brightness(kind: str, bits: int) -> None:
    found = decode(encoded(Image.fromarray(GREY << bits - 8), kind))
    assert np.array_equal(pixels(found)[..., 0], GREY)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_greys_with_alpha_of_a_camera_with_fewer_bits_keep_their_brightness(bits: int) -> None:
    opaque = np.full(GREY.shape, 255, dtype=np.uint16)
    opaque[:, :16] = 0
    found = decode(deep_png(np.dstack([GREY, opaque]) << bits - 8))
    assert np.array_equal(pixels(found)[:, 16:, 0], GREY[:, 16:])
    assert found.getpixel((3, 20)) == BACKGROUND


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_a_camera_with_fewer_bits_than_the_file_keep_their_brightness(
    bits: int, alpha: bool
) -> None:
    colours = np.asarray(scene()).astype(np.uint16)
    if alpha:
        colours = np.dstack([colours, np.full(colours.shape[:2], 255, dtype=np.uint16)])
    assert np.array_equal(pixels(decode(deep_png(colours << bits - 8))), pixels(scene()))


@pytest.mark.parametrize(
    ("channels", "key"), [(1, False), (2, False), (3, False), (4, False), (1, True), (3, True)]
)
def test_a_large_image_of_16_bits_takes_little_more_memory_than_its_pixels(channels: int, key: bool) -> None:
    values = np.full((1500, 2000, channels), 0x0123, dtype=np.uint16)
    chunks = [chunk(b"tRNS", struct.pack(f">{channels}H", *[0x0123] * channels))] if key else []
    data = deep_png(values[..., 0] if channels == 1 else values, *chunks)
    tracemalloc.start()
    try:
        found = decode(data)
        # Of arrays; those of Pillow's images are not counted.
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.getpixel((1999, 1499)) == (BACKGROUND if key else found.getpixel((0, 0)))
    assert peak < 16 * 1500 * 2000


def test_a_file_that_says_how_many_bits_it_uses_is_believed() -> None:
    dark = GREY // 4 << 4
    assert far_apart(decode(deep_png(dark)), Image.fromarray((GREY // 4).astype(np.uint8))) > 10
    declared = decode(deep_png(dark, chunk(b"sBIT", b"\x0c")))
    assert np.array_equal(pixels(declared)[..., 0], GREY // 4)
    # Not where a number is beyond it: the file was scaled to all of its bits.
    scaled = decode(deep_png(GREY << 8, chunk(b"sBIT", b"\x0c")))
    assert np.array_equal(pixels(scaled)[..., 0], GREY)


def tiff(
    values: NDArray[Any], *, bits: int, photometric: int = 1, sample_format: int = 1, more: bytes = b""
) -> bytes:
    """An uncompressed little-endian TIFF of greys."""
    height, width = values.shape
    body = values.tobytes()
    numbers = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    numbers |= {279: len(body), 339: sample_format}
    entries = [entry(tag, 4, 1, struct.pack("<I", value)) for tag, value in numbers.items()]
    directory = struct.pack("<H", len(entries) + bool(more)) + b"".join(entries) + more
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + b"\0" * 4


def test_a_tiff_whose_largest_number_is_black_is_not_a_negative() -> None:
    found = decode(tiff(0xFFFF - (GREY << 8), bits=16, photometric=0))
    assert np.abs(pixels(found)[..., 0] - GREY.astype(int)).max() <= 1


@pytest.mark.parametrize(("kind", "sample_format", "shift"), [("<i2", 2, 7), ("<i4", 2, 23), ("<u4", 1, 24)])
def test_a_tiff_s_numbers_keep_their_brightness_with_a_sign_and_without(
    kind: str, sample_format: int, shift: int
) -> None:
    values = (GREY.astype(np.int64) << shift).astype(kind)
    values[0, 0] = 0 if sample_format == 1 else -5
    found = pixels(decode(tiff(values, bits=8 * values.itemsize, sample_format=sample_format)))[..., 0]
    assert np.array_equal(found[1:], GREY[1:])
    assert found[0, 0] == 0


@pytest.mark.parametrize(
    ("values", "sample_format"), [(GREY.astype("<f8"), 3), (GREY.astype("<f2"), 3), (GREY.astype(">u8"), 1)]
)
def test_samples_that_are_not_decoded_are_told_from_damage(values: NDArray[Any], sample_format: int) -> None:
    with pytest.raises(ImageError, match=r"1 samples of \d+ bits a pixel, in a layout that is not decoded"):
        decode(tiff(values, bits=8 * values.itemsize, sample_format=sample_format))


@pytest.mark.parametrize("photometric", [1, 32803])
def test_a_camera_raw_file_is_not_taken_for_its_preview(photometric: int) -> None:
    version = entry(50706, 1, 4, bytes([1, 4, 0, 0])) if photometric == 1 else b""
    data = tiff(GREY.astype(np.uint8), bits=8, photometric=photometric, more=version)
    with pytest.raises(ImageError, match="camera raw is not decoded here"):
        decode(data)


def test_a_tiff_that_names_its_largest_number_is_believed() -> None:
    dark = (GREY // 4 << 4).astype("<u2")
    largest = entry(281, 3, 1, struct.pack("<H", 4095))
    assert np.array_equal(pixels(decode(tiff(dark, bits=16, more=largest)))[..., 0], GREY // 4)


@pytest.mark.parametrize("white", [1.0, 255.0, 4095.0])
def test_floats_keep_their_brightness(white: float) -> None:
    values = (GREY / 255 * white).astype("<f4")
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -1
    found = pixels(decode(tiff(values, bits=32, sample_format=3)))[..., 0]
    assert np.abs(found[1:] - GREY[1:].astype(int)).max() <= 1


def test_colours_that_cannot_be_converted_are_named() -> None:
    data = encoded(Image.fromarray(np.asarray(scene())), "TIFF")
    lab = data.replace(entry(262, 3, 1, b"\2\0"), entry(262, 3, 1, b"\x08\0"))
    assert lab != data
    with pytest.raises(ImageError, match="CIELAB"):
        decode(lab)
