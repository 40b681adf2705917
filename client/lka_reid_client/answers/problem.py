"""Problem documents (RFC 9457), as batches hold them."""

from __future__ import annotations

from lka_reid_client.answers.base import Answer
from lka_reid_client.answers.frames import FoundVehicle


class FieldError(Answer):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(Answer):
    """An error (RFC 9457).

    Attributes:
        type: names the kind of error.
        title: the kind of error in words.
        detail: this error in words.
        instance: the path that was asked.
        request_id: finds this request in the service's log.
        errors: field by field, where fields are wrong.
        differs: of an image id that is enrolled already: the fields sent that are not as enrolled,
            `image` among them where the file has other bytes; empty where all is as enrolled.
        width: of the image, px, where vehicles are listed.
        height: px.
        vehicles: what the image shows, where it does not say which vehicle is meant.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] | None = None
    differs: list[str] | None = None
    width: int | None = None
    height: int | None = None
    vehicles: list[FoundVehicle] | None = None
