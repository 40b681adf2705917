"""From a vehicle's box to the image that the embedder is shown: cut out once, with a margin."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from models.detection.vehicle import Box

MEDIA_TYPE = "image/jpeg"
QUALITY = 95
"""Of a crop's JPEG file, colours at full size: a tenth of a PNG, and next to nothing lost."""

MOST_BYTES = 10 << 20
"""Of a crop's file, as of an upload by default. Noise alone takes more: ten times the frame's own file."""
LOWER = (80, 60, 40)
"""Qualities that are tried where it has more, colours at half size; the last one is taken as it comes."""


def with_margin(box: Box, margin: float, width: int, height: int) -> Box:
    """A box, wider by `margin` of its width on the left and on the right, higher likewise, within a frame.

    Args:
        box: within the frame, px.
        margin: share of the box.
        width: of the frame, px.
        height: of the frame, px.
    """
    across, down = margin * box.width, margin * box.height
    left, top = max(0, round(box.x - across)), max(0, round(box.y - down))
    right = min(width, round(box.x + box.width + across))
    bottom = min(height, round(box.y + box.height + down))
    return Box(left, top, right - left, bottom - top)


def within(box: Sequence[float], width: int, height: int) -> Box:
    """The part of a box (left, top, width, height) inside a frame, in whole px; perhaps nothing."""
    left, top = (min(max(0, round(edge)), side) for edge, side in zip(box[:2], (width, height), strict=True))
    right = min(max(left, round(box[0] + box[2])), width)
    bottom = min(max(top, round(box[1] + box[3])), height)
    return Box(left, top, right - left, bottom - top)


def largest(boxes: Sequence[Box]) -> int:
    """Which box has the largest area; the first of equals."""
    return max(range(len(boxes)), key=lambda number: boxes[number].area)


def cut(frame: Image.Image, box: Box) -> bytes:
    """What an RGB frame shows within a box, as a JPEG file; the same bytes for the same frame and box."""
    crop = frame.crop((box.x, box.y, box.x + box.width, box.y + box.height))
    data = _coded(crop, QUALITY, subsampling=0)
    for quality in LOWER:
        if len(data) <= MOST_BYTES:
            break
        data = _coded(crop, quality, subsampling=2)
    return data


def _coded(crop: Image.Image, quality: int, subsampling: int) -> bytes:
    file = io.BytesIO()
    crop.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file.getvalue()
