"""What an image may cost to decode, checked before its pixels are."""

from __future__ import annotations

from models.decoding.errors import ImageError

MIN_SIDE = 8
MAX_PIXELS = 36_000_000
"""An 8K frame (7680 x 4320, or 8192 x 4320), the largest that traffic and surveillance cameras send; stills
of 24 and 33 megapixels fit as well."""
MAX_CODED_PIXELS = 10 * MAX_PIXELS
"""Pixels times scans of a JPEG: what decoding it costs. Encoders write about ten scans."""
MAX_SCANS = 100


def check_size(width: int, height: int) -> None:
    """See that an image is neither too large nor too small.

    Raises:
        ImageError: more than `MAX_PIXELS`, or a side under `MIN_SIDE`, px.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the image has {width} x {height} px; at most {MAX_PIXELS:,} px are accepted, shrink it first"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"the image has {width} x {height} px; each side needs at least {MIN_SIDE} px")


def check_scans(width: int, height: int, scans: int) -> None:
    """See that a JPEG does not go over its pixels too often.

    Raises:
        ImageError: more than `MAX_SCANS`, or than `MAX_CODED_PIXELS` in all of them together.
    """
    if scans > MAX_SCANS or width * height * scans > MAX_CODED_PIXELS:
        raise ImageError(
            f"the image has {width} x {height} px in {scans} scans; at most {MAX_SCANS} scans and "
            f"{MAX_CODED_PIXELS:,} px in all of them are accepted, save it as a baseline JPEG"
        )
