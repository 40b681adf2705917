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
