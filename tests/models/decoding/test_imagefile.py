"""Which files are decoded, which are refused and how."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from models.decoding import ImageError, bounds, decode
from tests.models.decoding.samples import KINDS, encoded, far_apart, scene


@pytest.mark.parametrize("kind", KINDS)
def test_the_accepted_formats_decode_to_rgb(kind: str) -> None:
    image = decode(encoded(scene(), kind))
    assert image.mode == "RGB"
    assert far_apart(image, scene()) < 6


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[("JPEG", mode) for mode in ("L", "CMYK", "YCbCr")],
        *[("PNG", mode) for mode in ("1", "L", "P")],
        *[("TIFF", mode) for mode in ("1", "L", "P", "CMYK", "YCbCr")],
    ],
)
def test_other_colour_modes_become_rgb(kind: str, mode: str) -> None:
    source = scene().convert(mode)
    assert far_apart(decode(encoded(source, kind, quality=95)), source.convert("RGB")) < 6


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF", "TIFF", "AVIF", "MPO"])
def test_of_several_frames_the_first_is_decoded(kind: str) -> None:
    other = Image.new("RGB", scene().size, "blue")
    data = encoded(scene(), kind, save_all=True, append_images=[other])
    assert far_apart(decode(data), scene()) < 6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "these 0 bytes are no image that is known here; send JPEG, PNG, WebP, BMP"),
        (b"hello" * 100, "no image that is known here"),
        (encoded(scene(), "JPEG2000"), "format JPEG 2000, which is not decoded here; send JPEG, PNG"),
        (encoded(scene(), "PPM"), "format PNM"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "format JPEG XL"),
        (b"\xef\xbb\xbf <svg xmlns=", "format SVG"),
        (b"%PDF-1.7\n", "format PDF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "format camera raw"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41", r"format video \(isom\)"),
        (b"RIFF\0\0\0\0AVI LIST", r"a RIFF file \(AVI\)"),
        (b"data:image/png;base64,iVBORw0KGgo", "format base64 text"),
        (encoded(scene(), "SGI"), "format SGI"),
        (encoded(scene(), "PCX"), "format PCX"),
        (b"#?RADIANCE\n", "format Radiance HDR"),
        (encoded(Image.effect_noise((99, 99), 50), "PNG")[:2000], "damaged or cut short"),
        (encoded(Image.effect_noise((99, 99), 50), "JPEG")[:500], "damaged or cut short"),
        (encoded(scene(), "GIF")[:40], "damaged or cut short"),
        (encoded(scene(), "TIFF")[:3000], "damaged or cut short"),
        (encoded(scene(), "AVIF")[:-30], "damaged or cut short"),
        (encoded(scene(), "HEIF")[:-30], "damaged or cut short"),
        (encoded(Image.new("RGB", (7, 300))), "7 x 300 px; each side needs at least 8 px"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_cannot_be_decoded_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(data)


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels_are_refused_before_they_are_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(scene(), kind)
    monkeypatch.setattr(bounds, "MAX_PIXELS", 100)
    monkeypatch.setattr("PIL.Image.core.new", lambda *_: pytest.fail("pixels were asked for"))
    with pytest.raises(ImageError, match="48 x 32 px; at most 100 px"):
        decode(data)


def test_more_pixels_than_pillow_opens_are_refused_alike() -> None:
    header = encoded(Image.new("1", (16, 16)), "BMP")
    bomb = header[:18] + (30_000).to_bytes(4, "little") * 2 + header[26:]
    with pytest.raises(ImageError, match=r"30000 x 30000 px; at most 36,000,000 px"):
        decode(bomb)


def test_many_threads_may_decode_at_once() -> None:
    data = encoded(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")
    expected = np.asarray(decode(data))
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(np.asarray(decode(data)), expected):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
