"""Decoding an image file to RGB: the one way, for training and serving alike."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.decoding.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MIN_SIDE = 8
MAX_PIXELS = 50_000_000

# Our own bound is lower than the one Pillow warns of.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(data: bytes) -> Image.Image:
    """Decode an image file to RGB, upright by its EXIF orientation.

    Raises:
        ImageError: not one of FORMATS, damaged or cut short, a side under MIN_SIDE px, or more than
            MAX_PIXELS px (checked before the pixels are decoded).
    """
    accepted = ", ".join(FORMATS)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"the image has {width} x {height} px; at most {MAX_PIXELS:,} px are accepted"
                )
            if min(width, height) < MIN_SIDE:
                raise ImageError(
                    f"the image has {width} x {height} px; each side needs at least {MIN_SIDE} px"
                )
            # A JPEG's decoder can shrink by powers of two for next to nothing; far more than any
            # network input is left.
            image.draft("RGB", (1024, 1024))
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise ImageError(
            f"these {len(data):,} bytes are no image that is known here; send {accepted}"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"the image is too large; at most {MAX_PIXELS:,} px are accepted") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        MemoryError,
    ) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"the image is damaged or cut short ({error}); send a whole {accepted}") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; of an animation, the frame that is open, the first."""
    if image.mode.startswith("I"):
        # 16 bits a pixel: Pillow's own conversion would cut off everything above 255.
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
