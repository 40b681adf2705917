"""From the bytes of an image file to the network's input: the one way, for training and serving alike."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MIN_SIDE = 8
MAX_PIXELS = 50_000_000

# Our own bound is lower than the one Pillow warns of.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(ValueError):
    """Bytes that are no usable picture; the message says why and what is accepted."""


class InputSpec(BaseModel):
    """What the network wants to see.

    Attributes:
        height: px.
        width: px.
        mean: per channel (RGB), of values scaled to 0..1.
        std: per channel (RGB), of values scaled to 0..1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


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


def normalise(image: Image.Image, spec: InputSpec) -> NDArray[np.float32]:
    """RGB image of the spec's size -> float32 `[3, H, W]`, mean and std taken out."""
    planes = np.asarray(image).transpose(2, 0, 1)
    scale, offset = _scale_and_offset(spec)
    prepared = np.empty(planes.shape, dtype=np.float32)
    np.multiply(planes, scale, out=prepared)
    prepared += offset
    return prepared


@lru_cache(maxsize=8)
def _scale_and_offset(spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What takes a byte to its prepared value, `[3, 1, 1]` each: two passes over the pixels, not four."""
    mean, std = (np.asarray(each).reshape(3, 1, 1) for each in (spec.mean, spec.std))
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def prepare(image: Image.Image, spec: InputSpec) -> NDArray[np.float32]:
    """RGB image of any size -> float32 `[3, H, W]`, squeezed to the spec's size."""
    size = (spec.width, spec.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return normalise(image, spec)
