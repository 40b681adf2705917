"""What of an upload is meant: a crop as it is, a box that the caller names, or what the detector finds.

Every route that takes an image of a vehicle reads it here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from models.decoding.tasks import FrameVehicles
from service.api.errors import FieldFault
from service.api.problems import invalid_fields
from service.api.vehicles import numbers_of
from service.retrieval.frames import Choice, FrameReader, Subject


@dataclass(frozen=True)
class Shown:
    """What of an upload is meant.

    Attributes:
        data: the image file that was sent.
        subjects: the vehicles that were cut out of it; none of a crop.
        frame: what was found; None of a crop, and where the caller named a box.
        seconds: that finding and cutting took; None of a crop.
    """

    data: bytes
    subjects: Sequence[Subject] = ()
    frame: FrameVehicles | None = None
    seconds: float | None = None

    @property
    def files(self) -> list[bytes]:
        """The image file of each vehicle."""
        return [subject.crop.data for subject in self.subjects] or [self.data]


def check_choice(box: str | None, choice: Choice | None) -> None:
    """See that only one of both fields is sent.

    Raises:
        ServiceError: INVALID_FIELDS.
    """
    if box is not None and choice is not None:
        message = "send one of them: `box` for a vehicle that you name, or `detect` for what is found"
        raise invalid_fields([FieldFault("box", message), FieldFault("detect", message)])


async def look_at(
    frames: FrameReader, data: bytes, box: str | None, choice: Choice | None, deadline: float
) -> Shown:
    """The vehicles of an upload that are meant; nothing is done to a crop.

    Raises:
        BoxError: the box has too little inside the image.
        ImageError, NoDetectorError, NoVehicleError, SeveralVehiclesError, DetectorError, Expired,
            DecodePoolError: see `FrameReader`.
    """
    started = time.monotonic()
    if box is not None:
        subject = await frames.subject_in(data, numbers_of(box), deadline)
        return Shown(data, [subject], None, time.monotonic() - started)
    if choice is not None:
        found, subjects = await frames.subjects(data, choice, deadline)
        return Shown(data, subjects, found, time.monotonic() - started)
    return Shown(data)
