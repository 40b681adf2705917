"""/gallery: enroll, list, look at, and delete images."""

from __future__ import annotations

import time
from functools import partial
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
    OF_A_CHOICE,
    OF_AN_UPLOAD,
    QUOTA_REACHED,
    UNKNOWN_FRAME,
    UNKNOWN_IMAGE,
)
from service.api.errors import FieldFault
from service.api.files import FILE_EXAMPLES, file_answer
from service.api.forms import only_fields_of, read_image
from service.api.frames import Shown, check_choice, look_at
from service.api.image_answers import EnrolledFrame, EnrolledImage, EnrolledRecord, RecordPage
from service.api.image_forms import EnrollFields, EnrollForm, Listing
from service.api.problems import invalid_fields, responses
from service.identifiers import IMAGE_ID_RULE, MAX_IMAGE_ID, ImageId, new_image_id
from service.resources import Resources
from service.retrieval.enrollment import AlreadyEnrolledError, Description
from service.retrieval.filtering import filter_of
from service.retrieval.frame_enrollment import Enrolled, FrameEnroller, of_each_vehicle, of_vehicle
from service.retrieval.frames import MAX_VEHICLES

ROOM_FOR_NUMBERS = len(f"/{MAX_VEHICLES}")

router = APIRouter(prefix="/gallery", tags=["gallery"])

ImageIdInPath = Annotated[
    ImageId,
    Path(
        description=f"{IMAGE_ID_RULE}. Its slashes stand in the path as they are",
        openapi_examples={"of a camera": {"value": "cam3/000123.jpg"}},
    ),
]
of_one_image = responses(UNKNOWN_IMAGE, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED)


@router.post(
    "",
    status_code=201,
    summary="Enroll an image",
    response_description="Enrolled, durably; `Location` is the record's path, where there is one",
    responses=responses(*OF_AN_UPLOAD, *OF_A_CHOICE, DUPLICATE, DISK_FULL, QUOTA_REACHED),
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
) -> EnrolledImage | EnrolledFrame:
    """Remember an image with what is known of it. Empty fields count as not given.

    Of a frame, an image of a whole scene, name the vehicle by `box`, or have it found by `detect`: its crop
    is what is kept. `detect=all` enrolls each vehicle under a number of its own below the image id, as in
    `frame7/1`, and leaves those as they are that are enrolled already as they are sent. Without
    `vehicle_type` a vehicle is of the type that the detector takes it for.

    An image id that is enrolled already is answered by 409 and nothing changes, so that an upload whose
    answer was lost can be sent again under the same id: `differs` is empty then. The same bytes under another
    id are enrolled, and `same_image` names the ids that have them already.
    """
    check_choice(form.box, form.detect)
    if form.keep_frame and form.box is None and form.detect is None:
        message = "is for frames: send `box` or `detect` with it; a crop is kept as it is"
        raise invalid_fields([FieldFault("keep_frame", message)])
    data = await read_image(form.image, settings.max_upload_bytes)
    image_id = form.image_id or new_image_id()
    if form.detect == "all" and len(image_id) > MAX_IMAGE_ID - ROOM_FOR_NUMBERS:
        message = f"leaves no room for the vehicles' numbers; {MAX_IMAGE_ID - ROOM_FOR_NUMBERS} characters do"
        raise invalid_fields([FieldFault("image_id", message)])
    deadline = context.arrived + settings.request_deadline_s
    description = described(form, image_id)
    audit.image_id = image_id

    async def look_and_enroll() -> tuple[Shown, list[Enrolled]]:
        try:
            shown, enrolled = await look_and_enroll_crops()
        except AlreadyEnrolledError as error:
            if form.keep_frame and error.differs == ():
                # An answer may have been lost between the two.
                await resources.enroller.keep_frame([image_id], data)
            raise
        if form.keep_frame:
            await resources.enroller.keep_frame([one.record.image_id for one in enrolled], data)
        return shown, enrolled

    async def look_and_enroll_crops() -> tuple[Shown, list[Enrolled]]:
        shown = await look_at(resources.frames, data, form.box, form.detect, deadline)
        if form.detect != "all":
            of = of_vehicle(description, shown.subjects[0]) if shown.subjects else description
            return shown, [Enrolled(*await resources.enroller.enroll(shown.files[0], of, deadline))]
        descriptions = of_each_vehicle(description, shown.subjects)
        enrolling = FrameEnroller(resources.enroller, settings.max_batch)
        return shown, await enrolling.enroll(shown.files, descriptions, deadline)

    shown, enrolled = await while_connected(request, look_and_enroll())
    metrics.looked_at(shown.seconds, shown.frame)
    for image in (one.image for one in enrolled if one.image is not None):
        for stage, seconds in image.seconds.items():
            metrics.stage(stage, seconds)
    metrics.stage("total", time.monotonic() - context.arrived)
    if form.detect != "all" or shown.frame is None:
        of = f"?{request.url.query}" if "collection" in request.query_params else ""
        response.headers["Location"] = f"{request.scope.get('root_path', '')}/gallery/{quote(image_id)}{of}"
        answer = await _answer(resources, enrolled[0], shown.files[0])
        return answer.about(shown.subjects[0]) if shown.subjects else answer
    return EnrolledFrame(
        width=shown.frame.width,
        height=shown.frame.height,
        enrolled=[
            (await _answer(resources, one, file)).about(subject)
            for one, file, subject in zip(enrolled, shown.files, shown.subjects, strict=True)
        ],
    )


def described(fields: EnrollFields, image_id: str) -> Description:
    """What is known of an image, as it is enrolled."""
    return Description(
        image_id=image_id,
        vehicle_id=fields.vehicle_id,
        camera_id=fields.camera_id,
        captured_at=fields.captured_at,
        view=fields.view,
        vehicle_type=fields.vehicle_type,
        tags=tuple(fields.tags),
    )


@router.get(
    "",
    summary="List what is enrolled",
    response_description="A page of records, in order of enrollment",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def page(
    resources: OpenResources,
    listing: Annotated[Listing, Query()],
) -> RecordPage:
    """Page through the gallery, or through what a filter leaves of it; nothing is shown twice or left out,
    whatever is enrolled or deleted meanwhile.
    """
    found = await to_thread.run_sync(
        partial(resources.gallery.page, listing.after, listing.limit, where=filter_of(listing)),
        limiter=resources.gallery_limiter,
    )
    return RecordPage.of(found)


# Before the record's own route, whose id would swallow the last segment.
@router.get(
    "/{image_id:path}/image",
    summary="An enrolled image's file",
    response_class=Response,
    responses={
        **responses(UNKNOWN_IMAGE, UNKNOWN_FRAME, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
        200: {
            "description": "The file as it was sent",
            "content": {"image/*": {"schema": {"type": "string"}, "examples": FILE_EXAMPLES}},
        },
    },
)
async def image(
    image_id: ImageIdInPath,
    resources: OpenResources,
    frame: Annotated[
        bool,
        Query(
            description="the whole frame instead, of which the image is a crop; where it was kept",
            examples=[True],
        ),
    ] = False,
) -> Response:
    """The image file as it was sent, byte for byte; of a frame, the crop that was cut out."""
    if frame:
        kept = await to_thread.run_sync(
            resources.gallery.frames.of, image_id, limiter=resources.gallery_limiter
        )
        return file_answer(kept.data, kept.media_type)
    data, media_type = await to_thread.run_sync(
        resources.gallery.image, image_id, limiter=resources.gallery_limiter
    )
    return file_answer(data, media_type)


@router.get(
    "/{image_id:path}",
    summary="An enrolled image's record",
    response_description="The record",
    responses=of_one_image,
)
async def record(image_id: ImageIdInPath, resources: OpenResources, response: Response) -> EnrolledRecord:
    """What is known of an enrolled image."""
    found = await to_thread.run_sync(resources.gallery.get, image_id, limiter=resources.gallery_limiter)
    answer = EnrolledRecord.of(found)
    response.headers["ETag"] = answer.etag()
    return answer


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


async def _answer(resources: Resources, one: Enrolled, file: bytes) -> EnrolledImage:
    """What was enrolled, and under which ids the same bytes were before."""
    answer = EnrolledImage.of(one.record)
    answer.same_image = await resources.enroller.same_image(file, one.record.image_id)
    return answer
