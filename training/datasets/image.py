"""One image of one vehicle, and the error of all readers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from models.intake.names import shown


class DatasetError(Exception):
    """A data set that cannot be used; the message names the file, the row and the remedy."""


@dataclass(frozen=True, slots=True)
class VehicleImage:
    """One image of one vehicle; what is not known of it is "".

    Attributes:
        path: the image file.
        vehicle_id: which vehicle it is.
        camera_id: which camera took it.
        vehicle_type: car, truck, ...
        view: the side that is seen.
        colour: of the vehicle.
        time: when it was taken, as the data set writes it.
        track: the passage before one camera that it belongs to.
        model: make and model, or the body design of a rendered vehicle.
        group: vehicles that are hard to tell apart share one.
        domain: of several data sets that are learned from at once, the one that it belongs to.
        origin: file and row that list it, for messages; not part of its identity.
    """

    path: Path
    vehicle_id: str
    camera_id: str
    vehicle_type: str = ""
    view: str = ""
    colour: str = ""
    time: str = ""
    track: str = ""
    model: str = ""
    group: str = ""
    domain: str = ""
    origin: str = field(default="", compare=False)

    @property
    def camera_or_own(self) -> str:
        """The camera, or where it is unknown a name of the image's own.

        So an image of unknown camera shares a camera with itself alone.
        """
        return self.camera_id or f"?{self.path}"

    def place(self) -> str:
        """Path and, where known, row, as messages give it."""
        return shown(f"{self.path} ({self.origin})" if self.origin else self.path)
