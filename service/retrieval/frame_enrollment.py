"""Enrolling all vehicles of a frame: each a record of its own, all of them or none where one cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from index import Record
from service.inference.embedder import EmbeddedImage
from service.retrieval.concurrently import each
from service.retrieval.enrollment import AlreadyEnrolledError, Description, Enroller
from service.retrieval.frames import Subject


@dataclass(frozen=True)
class Enrolled:
    """A vehicle's record, and how its image was embedded; None where it was enrolled already."""

    record: Record
    image: EmbeddedImage | None


class FrameEnroller:
    """Enrolls the vehicles of one frame.

    Args:
        enroller: enrolls single images.
        at_once: images that are embedded at the same time.
    """

    def __init__(self, enroller: Enroller, at_once: int) -> None:
        self._enroller = enroller
        self._at_once = at_once

    async def enroll(
        self, files: Sequence[bytes], descriptions: Sequence[Description], deadline: float
    ) -> list[Enrolled]:
        """Enroll the crops; their records are durable when this returns.

        What is enrolled already as it is sent is left as it is, so that a frame whose answer was lost, or
        that failed between two of its vehicles, can be sent again.

        Raises:
            AlreadyEnrolledError: one of the ids is enrolled with something else; nothing was changed.
            ImageError, Overloaded, Expired, EmbeddingError, WorkerStoppedError: see `Enroller.enroll`.
        """
        pairs = list(zip(files, descriptions, strict=True))
        for data, description in pairs:
            if differs := await self._enroller.differences(data, description):
                raise AlreadyEnrolledError(description.image_id, differs)

        async def enroll(pair: tuple[bytes, Description]) -> Enrolled:
            data, description = pair
            try:
                return Enrolled(*await self._enroller.enroll(data, description, deadline))
            except AlreadyEnrolledError as error:
                if error.differs != ():
                    raise
                return Enrolled(await self._enroller.record(description.image_id), None)

        return await each(enroll, pairs, self._at_once)


def of_each_vehicle(description: Description, subjects: Sequence[Subject]) -> list[Description]:
    """What is known of each vehicle of a frame: its own type, and an id of its own below the frame's."""
    return [
        replace(of_vehicle(description, subject), image_id=f"{description.image_id}/{number}")
        for number, subject in enumerate(subjects, start=1)
    ]


def of_vehicle(description: Description, subject: Subject) -> Description:
    """What is known of a vehicle: where nobody says its type, the detector's."""
    if description.vehicle_type is not None or subject.vehicle is None:
        return description
    return replace(description, vehicle_type=subject.vehicle.type)
