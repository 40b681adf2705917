"""What a batch is sent as: image files, and what goes with each of them as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.decoding.formats import ACCEPTED
from service.api.errors import FieldFault, ServiceError
from service.api.forms import read_image
from service.api.image_forms import EnrollFields, ImageFile, ProbeCamera, SearchFields
from service.api.problems import invalid_fields

MAX_IMAGES = 256

Images = Field(
    min_length=1,
    max_length=MAX_IMAGES,
    description=f"the image files, 1 to {MAX_IMAGES}: {ACCEPTED}; repeat the field for each",
)


class EnrollItem(EnrollFields):
    """What is known of one image of a batch; fields as of `POST /gallery`."""

    model_config = ConfigDict(extra="forbid")


class QueryItem(BaseModel):
    """What is known of one probe of a batch."""

    model_config = ConfigDict(extra="forbid")

    camera_id: ProbeCamera = None


class EnrollBatchForm(BaseModel):
    """Images to be remembered, and what is known of them."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    images: list[ImageFile] = Images
    items: str | None = Field(
        default=None,
        description="JSON: a list with an object for each image, in their order, of the fields of "
        "`POST /gallery` but `image`; nothing is known of them when not given",
        examples=['[{"image_id": "cam3/1.jpg", "camera_id": "cam3"}, {"image_id": "cam3/2.jpg"}]'],
    )


class QueryBatchForm(SearchFields):
    """Probes, and how to search for them."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    images: list[ImageFile] = Images
    items: str | None = Field(
        default=None,
        description="JSON: a list with an object for each image, in their order: its `camera_id`, where "
        "known; of none when not given",
        examples=['[{"camera_id": "cam3"}, {}]'],
    )


_SHORT: Any = {"include_url": False, "include_context": False, "include_input": False}
Item = TypeVar("Item", bound=BaseModel)
Outcome = TypeVar("Outcome")


def read_items(kind: type[Item], text: str | None, count: int) -> list[Item]:
    """The objects in `items`, as many as there are images.

    Raises:
        ServiceError: INVALID_FIELDS, naming each field by the number of its object, from 0.
    """
    if text is None:
        # One for all: they are read and not changed, and making one copies its defaults.
        return [kind()] * count
    # Bounded before its objects are looked at: each that is wrong costs time and memory.
    bounded: TypeAdapter[list[Item]] = TypeAdapter(
        Annotated[list[kind], Field(max_length=count)]  # type: ignore[valid-type, arg-type]
    )
    try:
        items = bounded.validate_json(text)
    except ValidationError as error:
        faults = [_fault(item, kind, count) for item in error.errors(**_SHORT)]
        raise invalid_fields(faults) from None
    if len(items) != count:
        raise invalid_fields([FieldFault("items", f"has {len(items)} objects for {count} images")])
    return items


async def read_images(uploads: Sequence[UploadFile], max_bytes: int) -> list[bytes | Exception]:
    """The uploaded files, or in place of one the error that `read_image` raises for it."""
    return [await _image_or_error(upload, max_bytes) for upload in uploads]


async def _image_or_error(upload: UploadFile, max_bytes: int) -> bytes | Exception:
    try:
        return await read_image(upload, max_bytes)
    except ServiceError as error:
        return error


def merged(images: Sequence[bytes | Exception], outcomes: Iterable[Outcome]) -> list[Outcome | Exception]:
    """What became of each image, where `outcomes` are those of the images that are no errors."""
    rest = iter(outcomes)
    return [image if isinstance(image, Exception) else next(rest) for image in images]


def _fault(item: object, kind: type[BaseModel], count: int) -> FieldFault:
    assert isinstance(item, dict)  # noqa: S101 - pydantic's own
    where = ".".join(["items", *map(str, item["loc"])])
    message = str(item["msg"])
    message = message[:1].lower() + message[1:]
    if item["type"] == "extra_forbidden":
        message = f"is not a field of an item; it takes {', '.join(kind.model_fields)}"
    elif item["type"] == "too_long" and not item["loc"]:
        message = f"has more than {count} objects for {count} images"
    return FieldFault(where, message)
