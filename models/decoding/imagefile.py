"""Decoding an image file to RGB: the one way, for training and serving alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from models.decoding import formats
from models.decoding.bmp import open_bmp
from models.decoding.bounds import check_size
from models.decoding.colours import to_rgb
from models.decoding.errors import ImageError
from models.decoding.gif import open_gif
from models.decoding.heif import open_avif, open_heic
from models.decoding.jpeg import decode_ordinary, open_jpeg
from models.decoding.opened import Opened
from models.decoding.orientation import SIDEWAYS, turn_upright
from models.decoding.png import open_png
from models.decoding.tiff import open_tiff
from models.decoding.webp import open_webp

_OPENERS: dict[formats.Format, Callable[[bytes], Opened]] = {
    formats.JPEG: open_jpeg,
    formats.PNG: open_png,
    formats.WEBP: open_webp,
    formats.BMP: open_bmp,
    formats.GIF: open_gif,
    formats.TIFF: open_tiff,
    formats.HEIC: open_heic,
    formats.AVIF: open_avif,
}
_DRAFT = (1024, 1024)


class Frame(NamedTuple):
    """An image, and its size before a decoder shrank it, px."""

    image: Image.Image
    width: int
    height: int


def decode(data: bytes) -> Image.Image:
    """Decode an image file to RGB: upright, transparent pixels in one colour, of several frames the first.

    Raises:
        ImageError: a format that is not decoded, a file that is damaged or cut short, or one beyond the
            bounds of `models.decoding.bounds`, which are checked before the pixels are decoded.
    """
    return decode_frame(data).image


def decode_frame(data: bytes, *, whole: bool = False, side: int | None = None) -> Frame:
    """Decode an image file as `decode` does, with the size that it has itself.

    Args:
        data: the image file.
        whole: keep all pixels, also those of a large JPEG.
        side: px, the longer side of what alone the image is resized to; a JPEG that is much larger is decoded
            smaller, if it is not to be whole.

    Raises:
        ImageError: see `decode`.
    """
    kind = formats.identify(data)
    try:
        opened = _OPENERS[kind](data)
        with opened.image as image:
            size = width, height = image.size
            check_size(width, height)
            # A JPEG's decoder can shrink by powers of two for next to nothing; far more than any network
            # input is left.
            if kind is formats.JPEG and not whole:
                image.draft("RGB", _DRAFT)
            if opened.orientation in SIDEWAYS:
                width, height = height, width
            # One that its decoder has not shrunk is of one size before and after.
            ordinary = decode_ordinary(opened, None if whole else side) if image.size == size else None
            return Frame(turn_upright(ordinary or to_rgb(opened), opened.orientation), width, height)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("decoding the image takes more memory than an image is given") from None
    # The readers of eight formats meet whatever bytes they are sent, and list nowhere what they raise.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(
            f"the {kind.name} image is damaged or cut short ({reason}); send the whole file"
        ) from None
