"""The fields that go with an image, checked before anything is sent by the rules of the service."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from models.intake.names import shown
from service.identifiers import CameraId, CapturedAt, ImageId, Label, Tags

NOT_UTF8 = "its name is no UTF-8; rename it"


class _Fields(BaseModel):
    """As `POST /gallery` takes them."""

    model_config = ConfigDict(extra="forbid")

    image_id: ImageId | None = None
    vehicle_id: Label | None = None
    camera_id: CameraId | None = None
    captured_at: CapturedAt | None = None
    view: Label | None = None
    vehicle_type: Label | None = None
    tags: Tags = []


def why_not_fields(fields: Mapping[str, str | list[str]]) -> str | None:
    """What the service would refuse of these form fields, each with its value; None where it takes them."""
    if any("\udc80" <= character <= "\udcff" for character in fields["image_id"]):
        return NOT_UTF8
    return why_refused(fields)


def why_refused(fields: Mapping[str, str | list[str]]) -> str | None:
    """The same of fields that need not be those of a file, nor have an image id."""
    try:
        _Fields.model_validate(fields)
    except ValidationError as error:
        # Of one field, not more than its first fault.
        faults = {str(fault["loc"][0]): fault for fault in reversed(error.errors(include_url=False))}
        return "; ".join(_said(name, fields[name], fault) for name, fault in faults.items())
    return None


def _said(name: str, value: str | list[str], fault: ErrorDetails) -> str:
    """A field's fault with its value, which some faults name themselves."""
    message = f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"
    value_too = "" if "value" in fault.get("ctx", {}) else f"{shown(repr(value))} "
    return f"{name} {value_too}{message}"
