"""Frames: images of a scene, from which vehicles are cut out before they are searched for or enrolled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, TypeVar

import structlog

from models.decoding import DetectorError
from models.decoding.pool import DecodePool
from models.decoding.tasks import Crop, FrameVehicles
from models.detection.bundle import DetectorBundle
from models.detection.crop import largest
from models.detection.vehicle import Vehicle
from service.inference.request import Expired

T = TypeVar("T")

log = structlog.get_logger(__name__)

Choice = Literal["one", "largest", "all"]
"""Which vehicles of a frame are meant: the only one, the largest, or all of them."""
DEFAULT_MARGIN = 0.1
"""Of a crop, as a share of its box, where no detector says another."""
MAX_VEHICLES = 32
"""Of one frame that `all` takes."""


class NoDetectorError(Exception):
    """The service has no detector; the message says how to get one."""

    def __init__(self) -> None:
        super().__init__(
            "this service finds no vehicles: LKA_REID_DETECTOR is off; send crops, or name a box by `box`"
        )


class FrameError(Exception):
    """A frame does not say which vehicle is meant; `found` is what it shows."""

    def __init__(self, message: str, found: FrameVehicles) -> None:
        super().__init__(message)
        self.found = found


class NoVehicleError(FrameError):
    """No vehicle was found."""

    def __init__(self, found: FrameVehicles) -> None:
        super().__init__(
            f"no vehicle was found in the image, which has {found.width} x {found.height} px; where there is "
            "one, name it by `box`, or send a crop of it without `detect`",
            found,
        )


class SeveralVehiclesError(FrameError):
    """More vehicles were found than can be meant."""


@dataclass(frozen=True)
class Subject:
    """One vehicle to search for or to enroll.

    Attributes:
        crop: an image file of it, and what that shows of the frame.
        vehicle: as it was found; None where the caller named its box.
    """

    crop: Crop
    vehicle: Vehicle | None = None


class FrameReader:
    """Finds vehicles in frames and cuts them out, in the processes that decode.

    Args:
        pool: these processes; whoever made it closes it.
        detector: what finds vehicles; None where that is switched off.
    """

    def __init__(self, pool: DecodePool, detector: DetectorBundle | None) -> None:
        self._pool = pool
        self._detector = None if detector is None else detector.described()
        self._margin = DEFAULT_MARGIN if detector is None else detector.manifest.margin

    async def detect(self, data: bytes, deadline: float) -> FrameVehicles:
        """The vehicles in an image file.

        Args:
            data: the file.
            deadline: of `time.monotonic()`, in s.

        Raises:
            NoDetectorError: there is no detector.
            ImageError: the bytes are no usable image.
            Expired: the deadline passed.
            DetectorError: the detector cannot be loaded, or fails on this frame.
            DecodePoolError: the pool is closed.
        """
        if self._detector is None:
            raise NoDetectorError
        try:
            return await _in_time(self._pool.detect(data, self._detector, deadline))
        except DetectorError as error:
            log.error("detector_failed", reason=str(error))
            raise

    async def cut(self, data: bytes, boxes: Sequence[Sequence[float]], deadline: float) -> list[Crop]:
        """What boxes show of an image file, each with a margin.

        Raises:
            BoxError: a box has too little inside the image.
            ImageError, Expired, DecodePoolError: see `detect`.
        """
        return await _in_time(self._pool.cut(data, boxes, self._margin, deadline))

    async def subject_in(self, data: bytes, box: Sequence[float], deadline: float) -> Subject:
        """The vehicle in a box that the caller names; see `cut`."""
        (crop,) = await self.cut(data, [box], deadline)
        return Subject(crop)

    async def subjects(
        self, data: bytes, choice: Choice, deadline: float
    ) -> tuple[FrameVehicles, list[Subject]]:
        """What an image file shows, and the vehicles of it that are meant.

        Raises:
            NoVehicleError: none was found.
            SeveralVehiclesError: several, where only one can be meant; or more than MAX_VEHICLES.
            ImageError, Expired, NoDetectorError, DetectorError, DecodePoolError: see `detect`.
        """
        found = await self.detect(data, deadline)
        vehicles = chosen(found, choice)
        crops = await self.cut(data, [vehicle.box for vehicle in vehicles], deadline)
        return found, [Subject(crop, vehicle) for crop, vehicle in zip(crops, vehicles, strict=True)]


def chosen(found: FrameVehicles, choice: Choice) -> Sequence[Vehicle]:
    """The vehicles that are meant. Raises NoVehicleError, SeveralVehiclesError."""
    vehicles = found.vehicles
    if not vehicles:
        raise NoVehicleError(found)
    if choice == "largest":
        return [vehicles[largest([vehicle.box for vehicle in vehicles])]]
    if choice == "one" and len(vehicles) > 1:
        raise SeveralVehiclesError(
            f"the image shows {len(vehicles)} vehicles; name one by `box`, or send `detect=largest` or "
            "`detect=all`",
            found,
        )
    if len(vehicles) > MAX_VEHICLES:
        raise SeveralVehiclesError(
            f"the image shows {len(vehicles)} vehicles; {MAX_VEHICLES} are taken at most, name them by `box`",
            found,
        )
    return vehicles


async def _in_time(future: Future[T]) -> T:
    try:
        return await asyncio.wrap_future(future)
    except TimeoutError:
        raise Expired("the deadline passed before the image was looked at") from None
