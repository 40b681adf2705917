from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from models.decoding import ImageError, decode, imagefile


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", imagefile.FORMATS)
def test_the_accepted_formats_decode_to_rgb(kind: str) -> None:
    image = decode(encoded(Image.new("RGB", (30, 20), (10, 200, 30)), kind))
    assert (image.mode, image.size) == ("RGB", (30, 20))
    assert np.abs(np.asarray(image)[0, 0].astype(int) - (10, 200, 30)).max() <= 4


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_other_colour_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert decode(encoded(Image.new(mode, (16, 16)), kind)).mode == "RGB"


def test_16_bits_a_pixel_keep_their_brightness() -> None:
    grey = np.full((16, 16), 40_000, dtype=np.uint16)
    image = decode(encoded(Image.fromarray(grey)))
    assert image.getpixel((3, 3)) == (156, 156, 156)


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for kind in ("WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert decode(data).getpixel((8, 8)) == (255, 0, 0)


def test_a_picture_is_turned_upright_by_its_exif_orientation() -> None:
    image = Image.new("RGB", (20, 10), "black")
    image.paste("white", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    turned = decode(encoded(image, "PNG", exif=exif))
    assert turned.size == (10, 20)
    assert turned.getpixel((5, 2)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "these 0 bytes are no image that is known here; send JPEG, PNG, WEBP, BMP"),
        (b"hello" * 100, "no image that is known here"),
        (encoded(Image.new("RGB", (20, 20)), "GIF"), "no image that is known here"),
        (encoded(Image.effect_noise((99, 99), 50), "PNG")[:2000], "damaged or cut short"),
        (encoded(Image.effect_noise((99, 99), 50), "JPEG")[:500], "damaged or cut short"),
        (encoded(Image.new("RGB", (7, 300))), "7 x 300 px; each side needs at least 8 px"),
    ],
    ids=["empty", "text", "gif", "cut png", "cut jpeg", "narrow"],
)
def test_what_cannot_be_decoded_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(data)


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagefile, "MAX_PIXELS", 100)
    data = encoded(Image.effect_noise((64, 64), 50), "PNG")[:200]  # decoding it would fail
    with pytest.raises(ImageError, match="64 x 64 px; at most 100 px"):
        decode(data)


def test_pillows_own_bound_is_refused_alike() -> None:
    header = encoded(Image.new("1", (16, 16)), "BMP")
    bomb = header[:18] + (30_000).to_bytes(4, "little") * 2 + header[26:]
    with pytest.raises(ImageError, match=r"px are accepted"):
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
