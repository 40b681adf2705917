"""Why an image file is refused, and why none can be decoded."""

from __future__ import annotations

from collections.abc import Sequence

from models.detection.loading import DetectorError

__all__ = ["BoxError", "DecodePoolError", "DetectorError", "ImageError", "TogetherError"]


class ImageError(ValueError):
    """Bytes that are no usable image; the message says why and what is accepted."""


class BoxError(ValueError):
    """A box of which too little is inside the frame."""

    def __init__(self, box: Sequence[float], width: int, height: int) -> None:
        numbers = ",".join(f"{number:g}" for number in box)
        super().__init__(
            f"the box {numbers} has no 8 x 8 px inside the image, which has {width} x {height} px upright"
        )


class TogetherError(Exception):
    """Images that were decoded together end their process, or are long; each may be usable alone."""


class DecodePoolError(Exception):
    """No process decodes: they cannot be started, or the pool is closed."""
