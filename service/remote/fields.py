"""The fields that go with an image, checked before anything is sent by the rules of the service."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from models.intake.names import shown
from service.identifiers import CapturedAt, ImageId, Label, Tags

NOT_UTF8 = "its name is no UTF-8; rename it"


class _Fields(BaseModel):
    """As `POST /gallery` takes them."""

    model_config = ConfigDict(extra="forbid")

    image_id: ImageId
    vehicle_id: Label | None = None
    camera_id: Label | None = None
    captured_at: CapturedAt | None = None
    view: Label | None = None
    vehicle_type: Label | None = None
    tags: Tags = []


def why_not_fields(fields: Mapping[str, str | list[str]]) -> str | None:
    """What the service would refuse of these form fields, each with its value; None where it takes them."""
    if any("\udc80" <= character <= "\udcff" for character in fields["image_id"]):
        return NOT_UTF8
    try:
        _Fields.model_validate(fields)
    except ValidationError as error:
        # Of one field, not more than its first fault.
        faults = {str(fault["loc"][0]): fault for fault in reversed(error.errors(include_url=False))}
        return "; ".join(
            f"{name} {shown(repr(fields[name]))} {fault['msg'][:1].lower()}{fault['msg'][1:]}"
            for name, fault in faults.items()
        )
    return None
