"""Vehicles that were found in frames."""

from __future__ import annotations

from lka_reid_client.answers.base import Answer, Box


class FoundVehicle(Answer):
    """A vehicle that was found in a frame.

    Attributes:
        box: left, top, width and height in px of the upright image; of a motorcycle or bicycle with its
            rider.
        type: as the detector has it.
        score: how sure the detector is.
    """

    box: Box
    type: str
    score: float


class FoundVehicles(Answer):
    """What a frame shows.

    Attributes:
        width: of the image as it is looked at, px.
        height: px.
        vehicles: the surest first.
    """

    width: int
    height: int
    vehicles: list[FoundVehicle]
