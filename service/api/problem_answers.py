"""Answers about errors, as problem+json (RFC 9457)."""

from __future__ import annotations

from pydantic import BaseModel, Field

from service.api.vehicles import FoundVehicle


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(
        description="names the kind of error", examples=["urn:lka-reid:problem:duplicate-image"]
    )
    title: str = Field(
        description="the kind of error in words", examples=["The image id is enrolled already"]
    )
    status: int = Field(examples=[409])
    detail: str = Field(description="this error in words")
    instance: str = Field(description="the path that was asked", examples=["/gallery"])
    request_id: str = Field(description="finds this request in the service's log")
    errors: list[FieldError] | None = Field(
        default=None, description="field by field, where fields are wrong"
    )
    differs: list[str] | None = Field(
        default=None,
        description="of an image id that is enrolled already: the fields sent that are not as enrolled, "
        "`image` among them where the file has other bytes; empty where all is as enrolled",
    )
    width: int | None = Field(default=None, description="of the image, px, where vehicles are listed")
    height: int | None = Field(default=None, description="px")
    vehicles: list[FoundVehicle] | None = Field(
        default=None, description="what the image shows, where it does not say which vehicle is meant"
    )
