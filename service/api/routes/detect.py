"""POST /detect: the vehicles in a frame."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request

from service.api.dependencies import Context, MetricsInUse, SettingsInUse, SharedResources
from service.api.disconnect import while_connected
from service.api.error_kinds import OF_A_FRAME
from service.api.forms import only_fields_of, read_image
from service.api.image_forms import DetectForm
from service.api.problems import responses
from service.api.vehicles import FoundVehicles

router = APIRouter(tags=["query"])


@router.post(
    "/detect",
    summary="Find the vehicles in a frame",
    response_description="The vehicles, the surest first; none where none is found",
    responses=responses(*OF_A_FRAME),
    dependencies=[Depends(only_fields_of(DetectForm))],
)
async def detect(
    request: Request,
    form: Annotated[DetectForm, Form(media_type="multipart/form-data")],
    resources: SharedResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
) -> FoundVehicles:
    """Find cars, motorcycles, buses, trucks and bicycles. Nothing is searched for, and nothing is kept.

    Send one of the boxes as `box` to `POST /query` or `POST /gallery`, with the same image.
    """
    data = await read_image(form.image, settings.max_upload_bytes)
    started, deadline = time.monotonic(), context.arrived + settings.request_deadline_s
    found = await while_connected(request, resources.frames.detect(data, deadline))
    metrics.looked_at(time.monotonic() - started, found)
    return FoundVehicles.of(found)
