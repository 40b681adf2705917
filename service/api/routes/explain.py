"""POST /explain: why a probe and a candidate are near or far, as a figure or in numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Request, Response

from index import Applied, Gallery
from models.bundle import Bundle
from models.explanation import NotExplainableError
from service.api.dependencies import Audit, Context, MetricsInUse, OpenResources, SettingsInUse
from service.api.disconnect import while_connected
from service.api.error_kinds import (
    DEADLINE,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    MALFORMED,
    NOT_AN_IMAGE,
    NOT_EXPLAINABLE,
    NOT_READY,
    OF_A_CHOICE,
    OVERLOADED,
    TIMEOUT,
    TOO_LARGE,
    UNKNOWN_IMAGE,
)
from service.api.errors import FieldFault, ServiceError
from service.api.explanation import ExplanationAnswer
from service.api.files import FILE_EXAMPLES
from service.api.forms import only_fields_of, read_image
from service.api.frames import check_choice, look_at
from service.api.image_forms import ExplainForm
from service.api.problems import invalid_fields, responses
from service.api.query_answers import NormalisationUsed
from service.resources import Resources
from service.retrieval.explainer import Upload, UploadError

PNG, JSON = "image/png", "application/json"

router = APIRouter(tags=["query"])


@router.post(
    "/explain",
    summary="Explain why a probe and a candidate are near or far",
    response_model=None,
    response_class=Response,
    responses={
        **responses(
            MALFORMED,
            UNKNOWN_IMAGE,
            TIMEOUT,
            TOO_LARGE,
            NOT_AN_IMAGE,
            INVALID_FIELDS,
            *OF_A_CHOICE,
            NOT_EXPLAINABLE,
            OVERLOADED,
            NOT_READY,
            GALLERY_DAMAGED,
            DEADLINE,
        ),
        200: {
            "model": ExplanationAnswer,
            "description": "The figure; with `Accept: application/json`, its numbers",
            "content": {PNG: {"schema": {"type": "string", "format": "binary"}, "examples": FILE_EXAMPLES}},
        },
    },
    dependencies=[Depends(only_fields_of(ExplainForm))],
)
async def explain(
    request: Request,
    form: Annotated[ExplainForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    metrics: MetricsInUse,
    context: Context,
    audit: Audit,
) -> Response:
    """Show which strips of the probe looked at which of the candidate, how far each strip is, and where the
    branches respond.

    Of a frame, an image of a whole scene, name the probe's vehicle by `box`, or have it found by `detect`.
    The candidate is an enrolled image (`candidate_id`), whose camera is known, or a file (`candidate_image`),
    whose camera `candidate_camera_id` names; both files together may be as large as one for a query.
    An explanation is computed in 32 bits on the CPU: where queries are answered in fewer bits, its similarity
    and distance differ slightly from theirs.
    """
    audit.image_id = form.candidate_id
    with _translated(resources.bundle):
        resources.explainer.check()
        check_choice(form.box, form.detect)
        deadline = context.arrived + settings.request_deadline_s
        probe, candidate = await _uploads(form, resources, settings.max_upload_bytes)
        shown = await while_connected(
            request, look_at(resources.frames, probe.data, form.box, form.detect, deadline)
        )
        metrics.looked_at(shown.seconds, shown.frame)
        probe, started = replace(probe, data=shown.files[0]), time.monotonic()
        # One version for the numbers and for what is said of them.
        in_force = resources.gallery.cameras.normalisation()
        if _wants_json(request.headers.get("accept", "")):
            work = resources.explainer.explain(probe, candidate, deadline, in_force)
            explanation = await while_connected(request, work)
            applied = Applied(in_force.version, explanation.camera)
            used = NormalisationUsed.of(applied, settings.camera_normalisation)
            answer = ExplanationAnswer.of(explanation, resources.bundle.manifest, used)
            response = Response(answer.model_dump_json(), media_type=JSON)
        else:
            drawing = resources.explainer.figure(probe, candidate, deadline, in_force)
            response = Response(await while_connected(request, drawing), media_type=PNG)
    metrics.stage("explain", time.monotonic() - started)
    response.headers["Vary"] = "Accept"
    return response


@contextmanager
def _translated(bundle: Bundle) -> Iterator[None]:
    """What the explainer raises, as it is answered: without a path, and with the field at fault."""
    try:
        yield
    except NotExplainableError as error:
        detail = f"the bundle {bundle.manifest.name} {error.reason}"
        raise ServiceError(NOT_EXPLAINABLE, detail) from None
    except UploadError as error:
        fault = FieldFault(error.field, str(error))
        raise ServiceError(NOT_AN_IMAGE, f"{error.field}: {error}", [fault]) from None


async def _uploads(form: ExplainForm, resources: Resources, max_bytes: int) -> tuple[Upload, Upload]:
    """Both images' files.

    Raises:
        ServiceError: INVALID_FIELDS, where there is not one candidate, or an enrolled one comes with a
            camera; TOO_LARGE.
        UnknownImageError: the candidate is not enrolled.
    """
    if (form.candidate_id is None) == (form.candidate_image is None):
        message = "send one candidate: either candidate_id, or candidate_image as a file part"
        raise invalid_fields([FieldFault("candidate_id", message), FieldFault("candidate_image", message)])
    if form.candidate_id is not None and form.candidate_camera_id is not None:
        message = "goes with candidate_image; the camera of an enrolled candidate is known: leave it out"
        raise invalid_fields([FieldFault("candidate_camera_id", message)])
    probe = Upload(
        await read_image(form.image, max_bytes), form.image.filename or "probe", "image", form.camera_id
    )
    if form.candidate_image is not None:
        data = await read_image(form.candidate_image, max_bytes)
        name = form.candidate_image.filename or "candidate"
        return probe, Upload(data, name, "candidate_image", form.candidate_camera_id)
    image_id = form.candidate_id or ""
    data, camera_id = await to_thread.run_sync(
        _enrolled, resources.gallery, image_id, limiter=resources.gallery_limiter
    )
    return probe, Upload(data, image_id, "candidate_id", camera_id)


def _enrolled(gallery: Gallery, image_id: str) -> tuple[bytes, str | None]:
    """An enrolled image's file, and its camera. Raises UnknownImageError."""
    return gallery.image(image_id)[0], gallery.get(image_id).camera_id


def _wants_json(accept: str) -> bool:
    """Whether JSON is preferred to a PNG (RFC 9110, 12.5.1); what accepts both alike gets the figure."""
    return _weight(accept, JSON) > _weight(accept, PNG)


def _weight(accept: str, media_type: str) -> float:
    """The weight of a media type, by the most specific range that matches it; 0 where none does."""
    kind = media_type.partition("/")[0]
    found = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [value for name, _, value in (p.partition("=") for p in parameters) if name == "q"]
        try:
            found[media_range] = float(weights[0]) if weights else 1.0
        except ValueError:
            found[media_range] = 0.0
    return next((found[each] for each in (media_type, f"{kind}/*", "*/*") if each in found), 0.0)
