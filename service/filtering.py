"""A filter as callers write it: the same fields in a form, in a URL and on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from service.identifiers import CAPTURED_AT_RULE, LABEL_RULE, LABEL_SCHEMA, is_label, named, parse_time

MAX_VALUES = 256
"""Of one condition."""


def _check_label(text: str) -> str:
    if not is_label(text):
        # An empty value is a mistake and not everything: a filter may say what is to be deleted.
        raise PydanticCustomError(
            "filter_label",
            "is {value}, which nothing can be called; it takes {rule}, or is left out",
            {"value": named(text), "rule": LABEL_RULE},
        )
    return text


def _parse_time(value: object) -> object:
    try:
        return parse_time(value)
    except PydanticCustomError as error:
        raise PydanticCustomError(
            "filter_time", "is {value}: it {why}", {"value": named(value), "why": error.message()}
        ) from None


Labels = Annotated[
    list[Annotated[str, AfterValidator(_check_label), LABEL_SCHEMA]],
    Field(max_length=MAX_VALUES),
]
Time = Annotated[
    datetime, BeforeValidator(_parse_time), WithJsonSchema({"type": "string", "format": "date-time"})
]


def _labels(what: str, example: str) -> Any:
    return Field(default=[], description=f"{what}; repeat it for several", examples=[[example]])


class FilterFields(BaseModel):
    """What is searched or listed: the images that meet every condition that is given, all without one."""

    only_camera_id: Labels = _labels("taken by this camera, or one of these", "cam3")
    not_camera_id: Labels = _labels("taken by none of these cameras", "cam3")
    captured_from: Time | None = Field(
        default=None,
        description=f"captured then or later: {CAPTURED_AT_RULE}",
        examples=["2024-05-17T08:00:00+02:00"],
    )
    captured_to: Time | None = Field(
        default=None,
        description=f"captured earlier than then: {CAPTURED_AT_RULE}",
        examples=["2024-05-17T20:00:00+02:00"],
    )
    only_vehicle_id: Labels = _labels("of this vehicle, or one of these", "bus_0001")
    only_view: Labels = _labels("showing this side, or one of these", "front")
    only_vehicle_type: Labels = _labels("of this kind of vehicle, or one of these", "bus")
    any_tag: Labels = _labels("with this tag, or at least one of these", "night")
    all_tag: Labels = _labels("with this tag, and each of these", "night")

    @field_validator("captured_to")
    @classmethod
    def _later(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        begin = info.data.get("captured_from")
        if until is not None and begin is not None and until <= begin:
            raise PydanticCustomError(
                "filter_window",
                "is {until}, not later than captured_from, which is {begin}: nothing is captured between",
                {"until": until.isoformat(), "begin": begin.isoformat()},
            )
        return until

    def is_given(self) -> bool:
        """Whether any condition is."""
        return any(getattr(self, name) for name in FilterFields.model_fields)
