"""What a detector finds, and what every detector is: the interface between frames and boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from PIL import Image

VehicleType = Literal["car", "motorcycle", "bus", "truck", "bicycle"]
VEHICLE_TYPES: tuple[VehicleType, ...] = ("car", "motorcycle", "bus", "truck", "bicycle")


class Box(NamedTuple):
    """A rectangle in a frame, px: its left upper corner, its width and its height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """px."""
        return self.width * self.height


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in a frame.

    Attributes:
        box: in px of the frame as it is looked at; of a motorcycle or bicycle with its rider.
        type: as the detector has it.
        score: how sure the detector is, 0 to 1.
    """

    box: Box
    type: VehicleType
    score: float


class Detector(Protocol):
    """Frames to vehicles."""

    def detect(self, frame: Image.Image) -> list[Vehicle]:
        """The vehicles in an RGB frame, the surest first."""
