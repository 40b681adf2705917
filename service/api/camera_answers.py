"""Cameras as they go over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from index import CameraOverview, CameraState, CameraUse, Effect
from models.decoding.formats import ACCEPTED
from service.api.image_forms import ImageFile

DIGITS = 4


class CalibrationForm(BaseModel):
    """An image of any vehicle before the camera."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the image file: {ACCEPTED}; cropped as those that are enrolled")
    anew: bool = Field(
        default=False,
        description="whether it takes the place of all images that the camera was calibrated with; they stay "
        "where this one is refused",
        examples=[True],
    )


class CalibrationCount(BaseModel):
    """How many images a camera is known by."""

    camera_id: str
    counted: bool = Field(description="whether this image was new; the same bytes count once")
    calibrated: int = Field(description="images that the camera was calibrated with")
    enrolled: int = Field(description="enrolled images of the camera")


class CameraEffect(BaseModel):
    """How much nearer a camera's images are to each other than to those of other cameras: of the ten images
    nearest to one of its images, the share that is its own."""

    images: int = Field(description="of this camera and of others that it was measured on")
    expected: float = Field(description="the share if the camera had no influence")
    before: float = Field(description="the share by descriptors as they are")
    after: float = Field(description="the share by normalised descriptors")

    @classmethod
    def of(cls, effect: Effect) -> CameraEffect:
        """The effect as it goes over the wire."""
        return cls(
            images=effect.images,
            expected=round(effect.expected, DIGITS),
            before=round(effect.before, DIGITS),
            after=round(effect.after, DIGITS),
        )


class CameraEntry(BaseModel):
    """A camera that has images."""

    camera_id: str
    enrolled: int = Field(description="images in the gallery")
    calibrated: int = Field(description="images that it was calibrated with")
    use: CameraUse = Field(description="what the version in force knows of it, as in a query's answer")
    weight: float = Field(description="how far its mean is its own, and not half that of all images: 0 to 1")
    distance: float | None = Field(
        description="of its mean from that of all other images, in deviations; null where there are no others"
    )
    drift: float | None = Field(
        description="how far its descriptors would move by a new version, as a share of their length; null "
        "where nothing is normalised"
    )

    @classmethod
    def of(cls, state: CameraState) -> Self:
        """The camera as it goes over the wire."""
        return cls(
            camera_id=state.camera_id,
            enrolled=state.enrolled,
            calibrated=state.calibrated,
            use=state.use,
            weight=round(state.weight, DIGITS),
            distance=_rounded(state.distance),
            drift=_rounded(state.drift),
        )


class CameraAnswer(CameraEntry):
    """A camera, and what normalising does to it."""

    effect: CameraEffect | None = Field(
        default=None, description="null where it, or all other cameras, have too few images enrolled"
    )

    @classmethod
    def with_effect(cls, state: CameraState, effect: Effect | None) -> CameraAnswer:
        """The camera as it goes over the wire, with what normalising does to it."""
        return cls.of(state).model_copy(update={"effect": effect and CameraEffect.of(effect)})


class NormalisationInForce(BaseModel):
    """The gallery's normalisation."""

    mode: Literal["off", "on", "auto", "as found"] = Field(description="as it is set")
    version: int = Field(description="in force, 0 before the first")
    is_on: bool = Field(description="whether descriptors are normalised now")
    made_at: datetime | None = Field(description="when the version was made, UTC")
    drift: float = Field(description="the largest drift of a camera")
    drift_limit: float = Field(description="drift from which on a new version is made")
    is_renewing: bool = Field(description="whether a new version is being made")
    renewal_seconds: float | None = Field(
        description="s that making the last version took; null before the first since the start"
    )


class CamerasAnswer(BaseModel):
    """Every camera that has images, by id."""

    normalisation: NormalisationInForce
    cameras: list[CameraEntry]

    @classmethod
    def of(cls, overview: CameraOverview) -> CamerasAnswer:
        """The cameras as they go over the wire."""
        version = overview.normalisation
        return cls(
            normalisation=NormalisationInForce(
                mode=overview.mode,
                version=version.version,
                is_on=not version.is_raw,
                made_at=version.made_at,
                drift=round(overview.drift, DIGITS),
                drift_limit=overview.drift_limit,
                is_renewing=overview.is_renewing,
                renewal_seconds=overview.seconds,
            ),
            cameras=[CameraEntry.of(state) for state in overview.cameras],
        )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, DIGITS)
