"""/cameras: what the gallery knows of its cameras, and teaching it one without enrolling."""

from __future__ import annotations

import time
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Path, Request, Response

from index import CameraState, Effect, Gallery
from service.api.camera_answers import (
    CalibrationCount,
    CalibrationForm,
    CameraAnswer,
    CamerasAnswer,
)
from service.api.dependencies import Context, MetricsInUse, OpenResources, SettingsInUse
from service.api.disconnect import while_connected
from service.api.error_kinds import (
    DISK_FULL,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    NOT_READY,
    OF_AN_UPLOAD,
    QUOTA_REACHED,
    UNKNOWN_CAMERA,
)
from service.api.forms import only_fields_of, read_image
from service.api.problems import responses
from service.identifiers import CAMERA_ID_RULE, CameraId

router = APIRouter(prefix="/cameras", tags=["cameras"])

CameraIdInPath = Annotated[
    CameraId,
    Path(
        description=f"{CAMERA_ID_RULE}. Its slashes stand in the path as they are",
        openapi_examples={"of a gate": {"value": "cam3"}},
    ),
]


@router.get(
    "",
    summary="List the cameras",
    response_description="Every camera that has images, and the normalisation in force",
    responses=responses(NOT_READY, GALLERY_DAMAGED),
)
async def cameras(resources: OpenResources) -> CamerasAnswer:
    """What the gallery knows of each camera, from enrolled images and from calibrations."""
    found = await to_thread.run_sync(resources.gallery.cameras.overview, limiter=resources.gallery_limiter)
    return CamerasAnswer.of(found)


# Before the camera's own route, whose id would swallow the last segment.
@router.post(
    "/{camera_id:path}/calibration",
    status_code=201,
    summary="Show an image of a camera",
    response_description="Counted, durably; 200 where this image was counted already",
    responses={
        **responses(*OF_AN_UPLOAD, DISK_FULL, QUOTA_REACHED),
        200: {"model": CalibrationCount, "description": "This image was counted already"},
    },
    dependencies=[Depends(only_fields_of(CalibrationForm))],
)
async def calibrate(
    camera_id: CameraIdInPath,
    request: Request,
    response: Response,
    form: Annotated[CalibrationForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
) -> CalibrationCount:
    """Learn a camera from an image of any vehicle before it. The image is not enrolled, and not kept.

    Mean and deviation of the camera come from these images and from those that are enrolled. The same bytes
    count once, so that an upload whose answer was lost can be sent again. To begin anew, send the first image
    with `anew`, and the others once it was answered.
    """
    data = await read_image(form.image, settings.max_upload_bytes)
    deadline = context.arrived + settings.request_deadline_s
    work = resources.cameras.calibrate(data, camera_id, deadline, anew=form.anew)
    state, is_new, image = await while_connected(request, work)
    spent = {"decode": image.decode_s, "queue": image.queue_s, "embed": image.embed_s}
    for stage, seconds in (spent | {"total": time.monotonic() - context.arrived}).items():
        metrics.stage(stage, seconds)
    if not is_new:
        response.status_code = 200
    return CalibrationCount(
        camera_id=camera_id, counted=is_new, calibrated=state.calibrated, enrolled=state.enrolled
    )


@router.delete(
    "/{camera_id:path}/calibration",
    status_code=204,
    summary="Forget a camera's calibration",
    response_description="Forgotten; what is known from enrolled images stays",
    responses=responses(UNKNOWN_CAMERA, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def forget_calibration(camera_id: CameraIdInPath, resources: OpenResources) -> None:
    """Forget what a camera was calibrated with."""
    await to_thread.run_sync(
        resources.gallery.cameras.forget_calibration, camera_id, limiter=resources.gallery_limiter
    )


@router.get(
    "/{camera_id:path}",
    summary="Look at a camera",
    response_description="What is known of it, and what normalising does to it",
    responses=responses(UNKNOWN_CAMERA, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def camera(camera_id: CameraIdInPath, resources: OpenResources) -> CameraAnswer:
    """A camera's images, its distance from the others, and how far its images are nearer to each other than
    to those of other cameras, before and after normalising, measured on images of the gallery."""
    state, effect = await to_thread.run_sync(
        _looked_at, resources.gallery, camera_id, limiter=resources.gallery_limiter
    )
    return CameraAnswer.with_effect(state, effect)


def _looked_at(gallery: Gallery, camera_id: str) -> tuple[CameraState, Effect | None]:
    return gallery.cameras.state(camera_id), gallery.cameras.effect(camera_id)
