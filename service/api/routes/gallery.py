"""/gallery: enroll, list, look at, and delete images."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response

from service.api.dependencies import Audit, Context, MetricsInUse, OpenResources, SettingsInUse
from service.api.disconnect import while_connected
from service.api.error_kinds import (
    DISK_FULL,
    DUPLICATE,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    NOT_READY,
    OF_AN_UPLOAD,
    UNKNOWN_IMAGE,
)
from service.api.forms import only_fields_of, read_image
from service.api.problems import responses
from service.api.schemas import EnrolledRecord, EnrollForm, RecordPage
from service.identifiers import IMAGE_ID_RULE, ImageId, new_image_id
from service.retrieval.enrollment import Description

MAX_PAGE = 1000
LAST_CURSOR = 2**63 - 1

router = APIRouter(prefix="/gallery", tags=["gallery"])

ImageIdInPath = Annotated[
    ImageId, Path(description=f"{IMAGE_ID_RULE}. Its slashes stand in the path as they are")
]
of_one_image = responses(UNKNOWN_IMAGE, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED)


@router.post(
    "",
    status_code=201,
    summary="Enroll an image",
    response_description="Enrolled, durably; `Location` is the record's path",
    responses=responses(*OF_AN_UPLOAD, DUPLICATE, DISK_FULL),
    dependencies=[Depends(only_fields_of(EnrollForm))],
)
async def enroll(
    request: Request,
    response: Response,
    form: Annotated[EnrollForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
    audit: Audit,
) -> EnrolledRecord:
    """Remember an image with what is known of it. Empty fields count as not given.

    An image id that is enrolled already is answered by 409 and nothing changes, so that an upload whose
    answer was lost can be sent again under the same id: `differs` is empty then.
    """
    data = await read_image(form.image, settings.max_upload_bytes)
    description = Description(
        image_id=form.image_id or new_image_id(),
        vehicle_id=form.vehicle_id,
        camera_id=form.camera_id,
        captured_at=form.captured_at,
        view=form.view,
        tags=tuple(form.tags),
    )
    audit.image_id = description.image_id
    work = resources.enroller.enroll(data, description, context.arrived + settings.request_deadline_s)
    record, image = await while_connected(request, work)

    spent = {"decode": image.decode_s, "queue": image.queue_s, "embed": image.embed_s}
    for stage, seconds in (spent | {"total": time.monotonic() - context.arrived}).items():
        metrics.stage(stage, seconds)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/gallery/{quote(record.image_id)}"
    return EnrolledRecord.of(record)


@router.get(
    "",
    summary="List what is enrolled",
    response_description="A page of records, in order of enrollment",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def page(
    resources: OpenResources,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="records on a page")] = 100,
    after: Annotated[int | None, Query(ge=0, le=LAST_CURSOR, description="the last page's `next`")] = None,
) -> RecordPage:
    """Page through the gallery; nothing is shown twice or left out, whatever is changed meanwhile."""
    found = await to_thread.run_sync(resources.gallery.page, after, limit, limiter=resources.gallery_limiter)
    return RecordPage.of(found)


# Before the record's own route, whose id would swallow the last segment.
@router.get(
    "/{image_id:path}/image",
    summary="An enrolled image's file",
    response_class=Response,
    responses={
        **of_one_image,
        200: {
            "description": "The file as it was sent",
            "content": {"image/*": {"schema": {"type": "string"}}},
        },
    },
)
async def image(image_id: ImageIdInPath, resources: OpenResources) -> Response:
    """The image file as it was sent, byte for byte."""
    data, media_type = await to_thread.run_sync(
        resources.gallery.image, image_id, limiter=resources.gallery_limiter
    )
    return Response(data, media_type=media_type)


@router.get(
    "/{image_id:path}",
    summary="An enrolled image's record",
    response_description="The record",
    responses=of_one_image,
)
async def record(image_id: ImageIdInPath, resources: OpenResources) -> EnrolledRecord:
    """What is known of an enrolled image."""
    found = await to_thread.run_sync(resources.gallery.get, image_id, limiter=resources.gallery_limiter)
    return EnrolledRecord.of(found)


@router.delete(
    "/{image_id:path}",
    status_code=204,
    summary="Forget an image",
    response_description="Forgotten, with its file and its features",
    responses=of_one_image,
)
async def delete(image_id: ImageIdInPath, resources: OpenResources) -> None:
    """Forget an image; it does not come back, and its id is free again."""
    await to_thread.run_sync(resources.gallery.delete, image_id, limiter=resources.gallery_limiter)
