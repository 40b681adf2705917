"""What a decoding process can be asked to make of an image file, and what its parent takes for an answer.

A process may be a hostile image's by then: every answer is checked before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from models.decoding.bounds import MAX_PIXELS
from models.decoding.errors import BoxError, ImageError
from models.decoding.process import DecoderProcess, ProcessEndedError
from models.detection.vehicle import VEHICLE_TYPES, Box, Vehicle
from models.preprocessing import Pixels, Size


@dataclass(frozen=True)
class FrameVehicles:
    """What a frame shows.

    Attributes:
        width: of the frame as it is looked at, px.
        height: px.
        vehicles: the surest first; their boxes are within the frame.
    """

    width: int
    height: int
    vehicles: tuple[Vehicle, ...]


@dataclass(frozen=True)
class Crop:
    """What a box shows, with its margin.

    Attributes:
        data: an image file.
        region: what it shows of the frame, px.
    """

    data: bytes
    region: Box


class Task(Protocol):
    """What is made of an image file."""

    def request(self) -> dict[str, Any]:
        """What is sent to the process, as JSON types."""

    def outcome(self, said: Mapping[str, Any], process: DecoderProcess) -> Any:
        """What the process has made of it.

        Raises:
            ProcessEndedError: nothing that was asked for.
        """


@dataclass(frozen=True)
class Prepare:
    """Decode one or more and prepare each for a network: uint8 `[3, H, W]`. The only task for several.

    Attributes:
        size: of what the network wants to see.
        count: of the files.
    """

    size: Size
    count: int

    def request(self) -> dict[str, Any]:
        """See `Task.request`."""
        return {"task": "prepare", "size": [self.size.height, self.size.width]}

    def outcome(self, said: Mapping[str, Any], process: DecoderProcess) -> list[Pixels | ImageError]:
        """See `Task.outcome`; an error in place of an image that is refused."""
        shape = (self.count, 3, self.size.height, self.size.width)
        if _whole(said.get("shape"), 4) != list(shape):
            raise ProcessEndedError("it has prepared other images")
        prepared: list[Pixels | ImageError] = list(process.copied(shape, np.uint8))
        refusals = said.get("refusals")
        if not isinstance(refusals, dict):
            raise ProcessEndedError("it says what it cannot mean")
        for row, why in refusals.items():
            if row not in map(str, range(self.count)):
                raise ProcessEndedError("it says what it cannot mean")
            prepared[int(row)] = ImageError(str(why))
        return prepared


@dataclass(frozen=True)
class Decode:
    """Decode it to RGB."""

    def request(self) -> dict[str, Any]:
        """See `Task.request`."""
        return {"task": "decode"}

    def outcome(self, said: Mapping[str, Any], process: DecoderProcess) -> Image.Image:
        """See `Task.outcome`."""
        height, width, channels = _whole(said.get("shape"), 3)
        if min(height, width) < 1 or channels != 3 or height * width > MAX_PIXELS:
            raise ProcessEndedError("it has decoded what it was to refuse")
        return Image.fromarray(process.copied((height, width, 3), np.uint8))


@dataclass(frozen=True)
class Detect:
    """Find the vehicles in it.

    Attributes:
        detector: see `models.detection.bundle.DetectorBundle.described`.
    """

    detector: Mapping[str, Any]

    def request(self) -> dict[str, Any]:
        """See `Task.request`."""
        return {"task": "detect", "detector": dict(self.detector)}

    def outcome(self, said: Mapping[str, Any], process: DecoderProcess) -> FrameVehicles:  # noqa: ARG002
        """See `Task.outcome`."""
        width, height = _frame_size(said)
        found = said.get("vehicles")
        if not isinstance(found, list):
            raise ProcessEndedError("it says what it cannot mean")
        return FrameVehicles(width, height, tuple(_vehicle(item, width, height) for item in found))


@dataclass(frozen=True)
class Cut:
    """Cut boxes out of it, at its full size.

    Attributes:
        boxes: px of the frame as it is looked at.
        margin: see `models.detection.crop.with_margin`.
    """

    boxes: Sequence[Sequence[float]]
    margin: float

    def request(self) -> dict[str, Any]:
        """See `Task.request`."""
        return {"task": "cut", "boxes": [list(box) for box in self.boxes], "margin": self.margin}

    def outcome(self, said: Mapping[str, Any], process: DecoderProcess) -> list[Crop] | BoxError:
        """See `Task.outcome`; an error where a box does not fit the frame."""
        width, height = _frame_size(said)
        if "outside" in said:
            (number,) = _whole([said["outside"]], 1)
            if not 0 <= number < len(self.boxes):
                raise ProcessEndedError("it says what it cannot mean")
            return BoxError(self.boxes[number], width, height)
        lengths, regions = _whole(said.get("lengths"), len(self.boxes)), said.get("regions")
        if not isinstance(regions, list) or len(regions) != len(lengths) or min(lengths, default=1) < 1:
            raise ProcessEndedError("it says what it cannot mean")
        data = process.copied((sum(lengths),), np.uint8).tobytes()
        crops, start = [], 0
        for length, region in zip(lengths, regions, strict=True):
            crops.append(Crop(data[start : start + length], _box(region, width, height)))
            start += length
        return crops


def _whole(numbers: object, count: int) -> list[int]:
    """So many whole numbers. Raises ProcessEndedError."""
    if (
        not isinstance(numbers, list)
        or len(numbers) != count
        or not all(type(number) is int for number in numbers)
    ):
        raise ProcessEndedError("it says what it cannot mean")
    return numbers


def _frame_size(said: Mapping[str, Any]) -> tuple[int, int]:
    width, height = _whole(said.get("size"), 2)
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ProcessEndedError("it has decoded what it was to refuse")
    return width, height


def _box(numbers: object, width: int, height: int) -> Box:
    box = Box(*_whole(numbers, 4))
    if min(box) < 0 or 0 in box[2:] or box.x + box.width > width or box.y + box.height > height:
        raise ProcessEndedError("it has found what is not in the frame")
    return box


def _vehicle(item: object, width: int, height: int) -> Vehicle:
    if not isinstance(item, list) or len(item) != 3:
        raise ProcessEndedError("it says what it cannot mean")
    numbers, kind, score = item
    if kind not in VEHICLE_TYPES or type(score) is not float or not 0 <= score <= 1:
        raise ProcessEndedError("it says what it cannot mean")
    return Vehicle(_box(numbers, width, height), kind, score)
