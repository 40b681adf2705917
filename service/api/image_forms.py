"""Forms and parameters about images: what comes in."""

from __future__ import annotations

from typing import Annotated

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from models.decoding.formats import ACCEPTED
from service.api.cursor import LAST, GalleryCursor
from service.api.vehicles import BoxField, DetectField, DetectOneField
from service.filtering import FilterFields
from service.identifiers import (
    CAMERA_ID_RULE,
    CAPTURED_AT_RULE,
    IMAGE_ID_RULE,
    LABEL_RULE,
    CameraId,
    CapturedAt,
    ImageId,
    Label,
    Tags,
)

MAX_TOP_K = 100
MAX_PAGE = 1000
LAST_NUMBER = 2**63 - 1


def _without_empty(tags: object) -> object:
    """A list of tags as it is often written, with a separator behind the last: what is empty is none."""
    return [tag for tag in tags if tag != ""] if isinstance(tags, list) else tags


ImageFile = Annotated[UploadFile, WithJsonSchema({"type": "string", "format": "binary"})]


class EnrollFields(BaseModel):
    """What is known of an image that is to be remembered."""

    image_id: ImageId | None = Field(
        default=None,
        description=f"{IMAGE_ID_RULE}. Made up, sorting by time, when not given",
        examples=["cam3/000123.jpg"],
    )
    vehicle_id: Label | None = Field(
        default=None, description=f"the vehicle, where known: {LABEL_RULE}", examples=["bus_0001"]
    )
    camera_id: CameraId | None = Field(
        default=None, description=f"the camera: {CAMERA_ID_RULE}", examples=["cam3"]
    )
    captured_at: CapturedAt | None = Field(
        default=None, description=f"when: {CAPTURED_AT_RULE}", examples=["2024-05-17T08:30:00+02:00"]
    )
    view: Label | None = Field(
        default=None, description=f"the side that is seen: {LABEL_RULE}", examples=["front"]
    )
    vehicle_type: Label | None = Field(
        default=None, description=f"the kind of vehicle: {LABEL_RULE}", examples=["bus"]
    )
    tags: Annotated[Tags, BeforeValidator(_without_empty)] = Field(
        default=[],
        description=f"repeat the field for several; each {LABEL_RULE}; empty ones count as not given",
        examples=[["night"]],
    )


class EnrollForm(EnrollFields):
    """An image to be remembered, and what is known of it."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the image file: {ACCEPTED}; one vehicle filling most of it")
    keep_frame: bool = Field(
        default=False,
        description="of a frame, with `box` or `detect`: whether the whole image is kept besides the crop, "
        "until the first of its vehicles is deleted",
        examples=[True],
    )
    box: BoxField = None
    detect: DetectField = None


ProbeCamera = Annotated[
    CameraId | None,
    Field(
        description=f"the probe's camera, where known: {CAMERA_ID_RULE}. Probes change nothing of what is "
        "known of it",
        examples=["cam3"],
    ),
]


class SearchFields(FilterFields):
    """How to search for a probe, or for each of a batch, and among which images."""

    top_k: int = Field(
        default=10,
        ge=1,
        le=MAX_TOP_K,
        description="matches wanted; fewer come where fewer images are searched",
        examples=[20],
    )
    rerank: bool = Field(
        default=True, description="whether the second stage re-orders the first matches", examples=[False]
    )
    verdicts: bool = Field(
        default=True,
        description="whether verdicts on this probe count: images of another vehicle are left out, those of "
        "the same come first (`POST /verdicts`)",
        examples=[False],
    )


class QueryForm(SearchFields):
    """A probe, how to search for it, and among which images."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the probe's image file: {ACCEPTED}")
    camera_id: ProbeCamera = None
    box: BoxField = None
    detect: DetectField = None


class Listing(FilterFields):
    """Which records are listed, and from where on."""

    limit: int = Field(default=100, ge=1, le=MAX_PAGE, description="records on a page", examples=[50])
    after: GalleryCursor = Field(default=None, description=LAST)


class DetectForm(BaseModel):
    """A frame, to find vehicles in."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the image file: {ACCEPTED}")


class ExplainForm(BaseModel):
    """A probe, and the candidate that it is compared with: an enrolled image or another file."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(description=f"the probe's image file: {ACCEPTED}")
    candidate_id: ImageId | None = Field(
        default=None,
        description="the candidate's image id, where it is enrolled",
        examples=["cam3/000123.jpg"],
    )
    candidate_image: ImageFile | None = Field(
        default=None, description="the candidate's image file, where `candidate_id` is not given"
    )
    candidate_camera_id: CameraId | None = Field(
        default=None,
        description=f"the camera of `candidate_image`, where known: {CAMERA_ID_RULE}. That of an enrolled "
        "candidate is known",
        examples=["cam4"],
    )
    camera_id: ProbeCamera = None
    box: BoxField = None
    detect: DetectOneField = None
