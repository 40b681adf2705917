"""What would cost too much to decode is refused by what the file says, before a pixel is decoded."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from models.decoding import ImageError, bounds, decode
from models.decoding.jpeg import open_jpeg
from tests.models.decoding.samples import chunk, encoded, entry, far_apart, scene


def repeated_scans(image: Image.Image, times: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times."""
    data = encoded(image, "JPEG", progressive=True, quality=50)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * times + data[-2:]


def test_a_jpeg_that_goes_over_its_pixels_too_often_is_refused() -> None:
    with pytest.raises(ImageError, match=r"in 1\d scans; at most 100 scans and 360,000,000 px"):
        decode(repeated_scans(Image.new("L", (6000, 6000), 90), 8))
    with pytest.raises(ImageError, match=r"48 x 32 px in 1\d\d scans"):
        decode(repeated_scans(scene(), 100))


def test_as_many_scans_as_encoders_write_are_decoded() -> None:
    data = encoded(scene(), "JPEG", progressive=True)
    scans = data.count(b"\xff\xda")
    assert scans * bounds.MAX_PIXELS <= bounds.MAX_CODED_PIXELS
    assert far_apart(decode(data), scene()) < 6


def test_scans_are_counted_where_they_are_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[int, ...]] = []
    monkeypatch.setattr("models.decoding.jpeg.check_scans", lambda *found: counted.append(found))
    data = encoded(scene(), "JPEG", comment=b"\xff\xda" * 99, restart_marker_blocks=1)
    open_jpeg(data + b"\xff\xda\0\x02" * 99)
    open_jpeg(encoded(scene(), "JPEG", progressive=True))
    assert counted == [(48, 32, 1), (48, 32, 10)]


def test_a_png_that_says_it_is_huge_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 16, 6, 0, 0, 1)
    data = b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(bytes(1_000_000))),
            chunk(b"IEND", b""),
        ]
    )
    with pytest.raises(ImageError, match="60000 x 60000 px; at most 36,000,000 px"):
        decode(data)


def test_a_gif_whose_frame_is_larger_than_its_screen_is_refused() -> None:
    data = bytearray(encoded(scene(), "GIF"))
    frame = data.index(b"\x2c\0\0\0\0")
    data[frame + 5 : frame + 9] = struct.pack("<HH", 65_535, 65_535)
    with pytest.raises(ImageError, match="65535 x 65535 px"):
        decode(bytes(data))


def test_frames_after_the_first_are_not_looked_at() -> None:
    still = encoded(scene(), "GIF")
    comment = b"\x21\xfe" + (b"\xff" + b"x" * 255) * 20_000 + b"\0"
    frame = still[still.index(b"\x2c\0\0\0\0") : -1]
    data = still[:-1] + comment + frame * 2_000 + b";"
    assert np.array_equal(np.asarray(decode(data)), np.asarray(decode(still)))


def replaced(data: bytes, tag: int, kind: int, value: int) -> bytes:
    """A little-endian TIFF, one of its entries another."""
    start = struct.unpack_from("<I", data, 4)[0]
    at = data.index(struct.pack("<H", tag), start + 2)
    return data[:at] + entry(tag, kind, 1, struct.pack("<I", value)) + data[at + 12 :]


def test_a_tiff_whose_strips_are_longer_than_the_file_is_refused() -> None:
    data = replaced(encoded(scene(), "TIFF"), 279, 4, 50_000_000)
    with pytest.raises(ImageError, match=r"parts have 50,000,000 bytes, the whole file only"):
        decode(data)


def test_a_tiff_of_huge_tiles_is_refused() -> None:
    data = encoded(scene(), "TIFF")
    data = replaced(replaced(data, 278, 4, 32), 279, 4, 4608)
    # Tags in place of two that do not matter here.
    data = replaced(replaced(data, 277, 3, 3), 262, 3, 2)
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    entries = data[start + 2 : start + 2 + 12 * count]
    tiles = entry(322, 4, 1, struct.pack("<I", 65_536)) + entry(323, 4, 1, struct.pack("<I", 65_536))
    bomb = data[:4] + struct.pack("<I", len(data)) + data[8:]
    bomb += struct.pack("<H", count + 2) + entries + tiles + b"\0" * 4
    with pytest.raises(ImageError, match=r"tiles of 4,294,967,296 px"):
        decode(bomb)


def test_a_tiff_with_a_jpeg_of_too_many_scans_is_refused() -> None:
    data = encoded(scene(), "TIFF", compression="jpeg")
    with pytest.raises(ImageError, match=r"48 x 32 px in \d+ scans"):
        decode(data + b"\xff\xda" * 200)


@pytest.mark.parametrize("nothing", [b"\xff\xfe\0\x02", b"\xff\xd8", b"\xff\xdd\0\x04\0\0"])
def test_a_jpeg_of_countless_segments_is_refused(nothing: bytes) -> None:
    data = encoded(scene(), "JPEG")
    for start in (2, len(data) - 2):
        with pytest.raises(ImageError, match="more than 20,000 segments"):
            decode(data[:start] + nothing * 20_001 + data[start:])


def test_a_jpeg_with_a_large_profile_in_many_segments_is_decoded() -> None:
    data = encoded(scene(), "JPEG", icc_profile=b"x" * 5_000_000)
    assert far_apart(decode(data), scene()) < 6


def repeated_avif(times: int, *, sequence: bool = False) -> bytes:
    """An AVIF whose frame is there so many times more."""
    more = {"save_all": True, "append_images": [scene().rotate(180)]} if sequence else {}
    data = encoded(scene(), "AVIF", speed=10, **more)
    start = data.index(b"mdat") + 4
    assert data[start : start + 2] == b"\x12\0"
    first = data.index(b"\x32", start + 4)
    size = data[first + 1] & 127
    length = 2 + size if size == data[first + 1] else 3 + (size | data[first + 2] << 7)
    whole = first + length - start
    grown = data[start : first + length] + data[first : first + length] * times
    head = data[: start - 8].replace(struct.pack(">I", whole), struct.pack(">I", len(grown)))
    assert head != data[: start - 8] or not times
    body = grown + data[first + length :]
    return head + struct.pack(">I", len(body) + 8) + b"mdat" + body


@pytest.mark.parametrize("sequence", [False, True])
def test_an_avif_that_repeats_its_frame_is_refused(sequence: bool) -> None:
    with pytest.raises(ImageError, match="more than 16 frames"):
        decode(repeated_avif(20, sequence=sequence))
    assert far_apart(decode(repeated_avif(0, sequence=sequence)), scene()) < 6
    assert far_apart(decode(repeated_avif(3, sequence=sequence)), scene()) < 6


def test_an_avif_whose_list_of_images_is_all_but_endless_is_refused() -> None:
    data = encoded(scene(), "AVIF")
    at = data.index(b"iloc") + 4
    # Of 65,535 images behind the file's end, each in 65,535 extents that need no bytes to say where they are.
    images = struct.pack(">HHIH", 1, 0, 0xFFFFFFFF, 65_535) * 65_535
    listed = b"iloc" + b"\0" * 4 + b"\0\x40" + struct.pack(">H", 65_535) + images
    size = int.from_bytes(data[at - 8 : at - 4], "big")
    meta = data.index(b"meta")
    grown = int.from_bytes(data[meta - 4 : meta], "big") + len(listed) + 4 - size
    head = data[: meta - 4] + struct.pack(">I", grown) + data[meta : at - 8]
    with pytest.raises(ImageError, match="more than 100,000 parts"):
        decode(head + struct.pack(">I", len(listed) + 4) + listed + data[at - 8 + size :])


def test_a_tiff_in_tiles_of_a_pixel_is_refused() -> None:
    data = encoded(Image.new("RGB", (400, 400)), "TIFF")
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    entries = data[start + 2 : start + 2 + 12 * count]
    tiles = entry(322, 4, 1, struct.pack("<I", 1)) + entry(323, 4, 1, struct.pack("<I", 1))
    tiles += entry(324, 4, 160_000, struct.pack("<I", len(data))) + entry(
        325, 4, 160_000, struct.pack("<I", 8)
    )
    bomb = data[:4] + struct.pack("<I", len(data) + 640_000) + data[8:] + struct.pack("<I", 8) * 160_000
    with pytest.raises(ImageError, match="160,000 strips or tiles; at most 150,000"):
        decode(bomb + struct.pack("<H", count + 4) + entries + tiles + b"\0" * 4)
