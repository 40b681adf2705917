"""What becomes of enrolled images: they change, they are deleted by a filter, they are kept for a time."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from index import Amendment, ChangedImageError, Filter, Gallery, Record
from index.retention import MOST_DAYS
from service.api.dependencies import Audit, Context, OpenResources, SettingsInUse
from service.api.error_kinds import (
    CHANGED,
    DISK_FULL,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    MALFORMED,
    NOT_READY,
    QUOTA_REACHED,
    UNKNOWN_IMAGE,
)
from service.api.errors import FieldFault
from service.api.forms import only_fields_of
from service.api.image_answers import EnrolledRecord
from service.api.problems import invalid_fields, responses
from service.api.routes.gallery import ImageIdInPath
from service.api.tags import is_named
from service.filtering import FilterFields
from service.identifiers import (
    CAMERA_ID_RULE,
    CAPTURED_AT_RULE,
    LABEL_RULE,
    CameraId,
    CapturedAt,
    Label,
    Tags,
)
from service.retrieval.filtering import filter_of

DELETED_AT_ONCE = 256
"""Images between two looks at the clock."""
SHARE = 0.5
"""Of a request's time that deletions may take; what is left then is for the next request."""

Clearable = Literal["vehicle_id", "camera_id", "captured_at", "view", "vehicle_type", "tags"]

router = APIRouter(tags=["gallery"])


class PatchForm(BaseModel):
    """What is known of an image from now on. What is not given stays as it is."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    vehicle_id: Label | None = Field(
        default=None, description=f"the vehicle: {LABEL_RULE}", examples=["bus_0001"]
    )
    camera_id: CameraId | None = Field(
        default=None,
        description=f"the camera: {CAMERA_ID_RULE}. The statistics of both cameras follow",
        examples=["cam3"],
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
    tags: Tags = Field(
        default=[],
        description="in the place of all former ones; repeat the field for several",
        examples=[["night"]],
    )
    clear: list[Clearable] = Field(
        default=[],
        max_length=6,
        description="fields that are taken away; repeat it for several",
        examples=[["view"]],
    )

    @field_validator("clear")
    @classmethod
    def _is_clear(cls, clear: list[str], info: ValidationInfo) -> list[str]:
        # The last of the fields: those before it are known.
        both = sorted(name for name in set(clear) if info.data.get(name))
        if both:
            raise PydanticCustomError(
                "patch",
                "names {names}, which the request gives a value, too; do one of both",
                {"names": ", ".join(both)},
            )
        return clear

    def given(self) -> Amendment:
        """The fields with a new value."""
        found: Amendment = {}
        for name in ("vehicle_id", "camera_id", "captured_at", "view", "vehicle_type"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        if self.tags:
            found["tags"] = tuple(self.tags)
        return found

    def amendment(self) -> Amendment:
        """The fields with a new value, and those that are taken away."""
        gone: Amendment = {}
        for name in self.clear:
            if name == "tags":
                gone["tags"] = ()
            else:
                gone[name] = None
        return {**gone, **self.given()}


class Deletion(FilterFields):
    """Which images are deleted."""

    dry_run: bool = Field(default=False, description="count them, and delete none", examples=[True])


class DeletionAnswer(BaseModel):
    """How a deletion went."""

    dry_run: bool
    deleted: int = Field(ge=0, description="images that are deleted, durably; 0 in a dry run")
    left: int = Field(
        ge=0,
        description="images that meet the conditions and are there: in a dry run those that would be "
        "deleted; else, where there are any, send the request again",
    )


class RetentionAnswer(BaseModel):
    """How long images are kept."""

    days: int | None = Field(description="null where images are kept for ever")
    expired: int = Field(ge=0, description="images that are older than the days in question and are there")
    deleted: int = Field(ge=0, description="images that were deleted for their age since the start")
    failed: bool = Field(description="whether the last look for them came to no end; the log says why")


Days = Annotated[int, Query(ge=1, le=MOST_DAYS, description="days that an image is kept", examples=[90])]


# Before the record's own route, whose id is never empty.
@router.delete(
    "/gallery",
    summary="Delete the images that meet conditions",
    response_description="How many were deleted, or would be",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED, DISK_FULL),
)
async def delete_where(
    resources: OpenResources,
    settings: SettingsInUse,
    context: Context,
    audit: Audit,
    deletion: Annotated[Deletion, Query()],
) -> DeletionAnswer:
    """Delete every image that meets all conditions, one condition at least; `dry_run` counts them.

    Many are deleted for half of `LKA_REID_REQUEST_DEADLINE_S`; where `left` is not 0, send the request again.
    Each image is wholly deleted or not at all.
    """
    if not deletion.is_given():
        names = ", ".join(name for name in FilterFields.model_fields)
        raise invalid_fields([FieldFault("only_camera_id", f"or another condition is required: {names}")])
    where = filter_of(deletion)
    if deletion.dry_run:
        left = await to_thread.run_sync(resources.gallery.count, where, limiter=resources.gallery_limiter)
        return DeletionAnswer(dry_run=True, deleted=0, left=left)
    until = context.arrived + SHARE * settings.request_deadline_s
    work = partial(_delete, resources.gallery, where, until)
    deleted, left = await to_thread.run_sync(work, limiter=resources.gallery_limiter)
    audit.deleted = deleted
    return DeletionAnswer(dry_run=False, deleted=deleted, left=left)


@router.patch(
    "/gallery/{image_id:path}",
    summary="Change what is known of an image",
    response_description="The record as it is now",
    responses=responses(
        MALFORMED,
        UNKNOWN_IMAGE,
        CHANGED,
        INVALID_FIELDS,
        NOT_READY,
        GALLERY_DAMAGED,
        DISK_FULL,
        QUOTA_REACHED,
    ),
    dependencies=[Depends(only_fields_of(PatchForm, PatchForm.model_fields))],
)
async def patch(
    image_id: ImageIdInPath,
    form: Annotated[PatchForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    audit: Audit,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(
            description="change it only where this is its `ETag`, as `GET` answers it",
            examples=['"5f70bf18a086007016e948b04aed3b82"'],
        ),
    ] = None,
) -> EnrolledRecord:
    """Give fields new values, or take them away by `clear`; the image, its id and its features stay.

    Where the camera changes, the statistics of both cameras follow, and the image is compared as one of its
    new camera from then on. With `If-Match`, what somebody else has changed since it was read is not
    overwritten.
    """
    audit.image_id = image_id
    amendment = form.amendment()
    if not amendment:
        raise invalid_fields([FieldFault("clear", "or a field with a new value is required")])

    def update() -> Record:
        gallery, was = resources.gallery, None
        if if_match is not None:
            was = gallery.get(image_id)
            if not is_named(EnrolledRecord.of(was).etag(), if_match, weak=False):
                raise ChangedImageError(image_id)
        return gallery.update(image_id, amendment, was)

    answer = EnrolledRecord.of(await to_thread.run_sync(update, limiter=resources.gallery_limiter))
    response.headers["ETag"] = answer.etag()
    return answer


@router.get(
    "/retention",
    summary="How long images are kept",
    response_description="The days that are set, and what is older",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def retention(resources: OpenResources, days: Days | None = None) -> RetentionAnswer:
    """What is set. With `days`, how many images would be deleted if that were set.

    An image's age counts from when it was taken, or from its enrollment where that is earlier or all that is
    known.
    """
    return await _retention(resources, days)


@router.put(
    "/retention",
    summary="Keep images for a number of days",
    response_description="Set, durably",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED, DISK_FULL),
)
async def set_retention(resources: OpenResources, days: Days) -> RetentionAnswer:
    """Delete images once they are older than so many days, those that are so now at once; others within an
    hour
    after."""
    work = partial(resources.gallery.retention.set, days)
    await to_thread.run_sync(work, limiter=resources.gallery_limiter)
    return await _retention(resources)


@router.delete(
    "/retention",
    summary="Keep images for ever",
    response_description="Set, durably",
    responses=responses(NOT_READY, GALLERY_DAMAGED, DISK_FULL),
)
async def forget_retention(resources: OpenResources) -> RetentionAnswer:
    """Delete no image for its age any more."""
    work = partial(resources.gallery.retention.set, None)
    await to_thread.run_sync(work, limiter=resources.gallery_limiter)
    return await _retention(resources)


async def _retention(resources: OpenResources, days: int | None = None) -> RetentionAnswer:
    kept = resources.gallery.retention
    expired = await to_thread.run_sync(partial(kept.expired, days), limiter=resources.gallery_limiter)
    state = kept.state
    return RetentionAnswer(days=state.days, expired=expired, deleted=state.deleted, failed=state.failed)


def _delete(gallery: Gallery, where: Filter, until: float) -> tuple[int, int]:
    """Delete what the filter lets through until then, s of the monotonic clock; how many, and how many are
    left."""
    deleted = 0
    while True:
        count = gallery.delete_where(where, DELETED_AT_ONCE)
        deleted += count
        if count < DELETED_AT_ONCE or time.monotonic() > until:
            return deleted, gallery.count(where)
