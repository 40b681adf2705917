"""Whatever the bytes are, an image or an `ImageError` is what comes of them."""

from __future__ import annotations

import random
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from models.decoding import ImageError, decode
from tests.models.decoding.samples import KINDS, deep_png, encoded, exif, orientation, scene

FILES = 2_000
SOAK_FILES = 200_000


def whole_files() -> list[bytes]:
    """Files of every format, with metadata, alpha, palettes and several frames."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "a maker"
    grey, alpha = scene().convert("L"), scene().convert("RGBA")
    files = [encoded(scene(), kind) for kind in KINDS]
    files += [encoded(scene(), kind, exif=tags) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")]
    files += [encoded(alpha, kind) for kind in ("PNG", "WEBP", "TIFF", "AVIF", "HEIF")]
    files += [encoded(grey, kind) for kind in ("JPEG", "PNG", "TIFF")]
    files += [encoded(scene().quantize(16), kind, transparency=3) for kind in ("PNG", "GIF")]
    files += [
        encoded(scene(), kind, save_all=True, append_images=[scene()])
        for kind in ("PNG", "GIF", "WEBP", "TIFF", "MPO")
    ]
    files += [encoded(scene(), "TIFF", compression=how) for how in ("jpeg", "tiff_lzw", "tiff_adobe_deflate")]
    files += [
        encoded(scene(), "JPEG", progressive=True, icc_profile=b"p" * 300, comment=b"?"),
        encoded(scene().convert("CMYK"), "JPEG"),
        encoded(scene(), "JPEG", restart_marker_blocks=1),
        encoded(scene().convert("1"), "BMP"),
        deep_png(np.asarray(grey).astype(np.uint16) << 4),
        deep_png(np.asarray(alpha).astype(np.uint16) << 4),
        exif([orientation(6)]),
    ]
    return files


def mutated(data: bytes, source: random.Random, others: list[bytes]) -> bytes:
    """The file with some of its bytes, lengths or order changed."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        at = source.randrange(len(changed)) if changed else 0
        # What decides is near the beginning.
        at = min(at, source.choice((32, 400, len(changed))))
        match source.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([source.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes([source.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))])
            case 2:
                length = source.choice((2, 4, 8))
                changed[at : at + length] = source.choice((b"\0", b"\xff", b"\x7f")) * length
            case 3:
                del changed[at : at + source.randrange(1, 40)]
            case 4:
                changed[at:at] = source.randbytes(source.randrange(1, 40))
            case 5:
                part = source.randrange(1, 60)
                changed[at:at] = changed[at : at + part] * source.choice((1, 2, 30))
            case _:
                other = source.choice(others)
                start = source.randrange(len(other))
                changed[at : at + 20] = other[start : start + source.randrange(60)]
    if source.random() < 0.1:
        del changed[source.randrange(len(changed) + 1) :]
    return bytes(changed)


def fuzz(source: random.Random, least: int, seconds: float = 0) -> Counter[str]:
    """Decode so many mutated files, and more until the time is over; how many of each outcome."""
    files = whole_files()
    outcomes: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while outcomes.total() < least or time.monotonic() < until:
        data = mutated(source.choice(files), source, files)
        try:
            image = decode(data)
        except ImageError:
            outcomes["refused"] += 1
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__} for {data!r}") from error
        else:
            assert image.mode == "RGB"
            outcomes["decoded"] += 1
    return outcomes


# Pillow warns of what it makes do with; outside tests it is not asked to.
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_decoded_or_refused(source: random.Random) -> None:
    outcomes = fuzz(source, FILES)
    assert min(outcomes["decoded"], outcomes["refused"]) > FILES / 10


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_decoded_or_refused_for_long(source: random.Random, soak_s: float) -> None:
    print(fuzz(source, SOAK_FILES, soak_s))
