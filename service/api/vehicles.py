"""Vehicles of frames as they go over the wire: fields of forms, and boxes in answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from models.decoding.tasks import FrameVehicles
from models.detection.vehicle import Vehicle, VehicleType
from service.retrieval.frames import Choice, Subject

BOX_RULE = (
    "left, top, width and height in px of the upright image, with commas between, such as 309,5,148,227"
)
_BOX_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\s*-?[0-9]+(\.[0-9]+)?(\s*,\s*-?[0-9]+(\.[0-9]+)?){3}\s*$",
}
LARGEST_NUMBER = 1_000_000
SHOWN = 40
"""Characters of a text that is no box which its refusal repeats."""


def numbers_of(box: str) -> tuple[float, ...]:
    """Left, top, width and height, px.

    Raises:
        ValueError: the text is no box, or one without an area.
    """
    numbers = tuple(float(part) for part in box.split(","))
    if len(numbers) != 4 or not all(abs(number) <= LARGEST_NUMBER for number in numbers):
        raise ValueError("it takes four numbers")
    if min(numbers[2:]) <= 0:
        raise ValueError("its width and height have to be more than 0")
    return numbers


def _check_box(text: str | None) -> str | None:
    if text is not None:
        try:
            numbers_of(text)
        except ValueError:
            shown = ascii(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
            raise PydanticCustomError(
                "box", "{shown} is no box; it takes {rule}", {"shown": shown, "rule": BOX_RULE}
            ) from None
    return text


BoxField = Annotated[
    str | None,
    AfterValidator(_check_box),
    WithJsonSchema(_BOX_SCHEMA),
    Field(
        description=f"the vehicle's box, where the image is a frame: {BOX_RULE}. It is cut out with the "
        "margin that training images have",
        examples=["309,5,148,227"],
    ),
]
DetectField = Annotated[
    Choice | None,
    Field(
        description="where the image is a frame: which of the vehicles that are found in it are meant. "
        "`one`: the only one, and where there are several the answer lists their boxes; `largest`; `all`: "
        "one answer a vehicle. Without it and without `box` the image is taken for a crop",
        examples=["largest"],
    ),
]
DetectOneField = Annotated[
    Literal["one", "largest"] | None,
    Field(
        description="where the image is a frame: which of the vehicles found in it is meant, the only "
        "one, or the largest; see `POST /query`",
        examples=["largest"],
    ),
]


class FoundVehicle(BaseModel):
    """A vehicle that was found in a frame."""

    box: tuple[int, int, int, int] = Field(
        description="left, top, width and height in px of the upright image; of a motorcycle or bicycle with "
        "its rider"
    )
    type: VehicleType = Field(description="as the detector has it")
    score: float = Field(ge=0, le=1, description="how sure the detector is")

    @classmethod
    def of(cls, vehicle: Vehicle) -> FoundVehicle:
        """As it goes over the wire."""
        return cls(box=vehicle.box, type=vehicle.type, score=round(vehicle.score, 4))


class FoundVehicles(BaseModel):
    """What a frame shows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "width": 768,
                    "height": 432,
                    "vehicles": [{"box": [309, 5, 148, 227], "type": "car", "score": 0.7674}],
                }
            ]
        }
    )

    width: int = Field(description="of the image as it is looked at, px")
    height: int = Field(description="px")
    vehicles: list[FoundVehicle] = Field(description="the surest first")

    @classmethod
    def of(cls, found: FrameVehicles) -> FoundVehicles:
        """As it goes over the wire."""
        vehicles = [FoundVehicle.of(vehicle) for vehicle in found.vehicles]
        return cls(width=found.width, height=found.height, vehicles=vehicles)


class OfAFrame(BaseModel):
    """What an answer says of the vehicle that it is about, where that was cut out of a frame."""

    vehicle: FoundVehicle | None = Field(
        default=None,
        exclude_if=lambda vehicle: vehicle is None,
        description="as it was found in the image; absent of a crop, and where the caller named its box",
    )
    crop: tuple[int, int, int, int] | None = Field(
        default=None,
        exclude_if=lambda crop: crop is None,
        description="what was cut out of the image, with its margin: left, top, width and height in px; "
        "absent of a crop",
    )

    def about(self, subject: Subject) -> Self:
        """The same answer, with what it is about."""
        found = None if subject.vehicle is None else FoundVehicle.of(subject.vehicle)
        return self.model_copy(update={"vehicle": found, "crop": tuple(subject.crop.region)})
