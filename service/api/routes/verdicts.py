"""/verdicts: what people decided of probes and matches; kept, taken back, exported."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from index import Decision, VerdictPage
from models.decoding.formats import ACCEPTED, identify
from service.api.cursor import LAST, VerdictsCursor, cursor_of
from service.api.dependencies import Audit, CallersKey, Context, OpenResources, SettingsInUse
from service.api.disconnect import while_connected
from service.api.error_kinds import (
    DEADLINE,
    DISK_FULL,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    MALFORMED,
    NOT_AN_IMAGE,
    NOT_READY,
    OVERLOADED,
    QUOTA_REACHED,
    TIMEOUT,
    TOO_LARGE,
    TOO_MANY_VERDICTS,
    UNKNOWN_IMAGE,
    UNKNOWN_VERDICT,
)
from service.api.files import FILE_EXAMPLES, file_answer
from service.api.forms import only_fields_of, read_image
from service.api.frames import look_at
from service.api.image_forms import MAX_PAGE, ImageFile, ProbeCamera
from service.api.problems import responses
from service.api.query_answers import VerdictAnswer, VerdictKind
from service.api.routes.gallery import ImageIdInPath
from service.api.vehicles import BoxField
from service.identifiers import IMAGE_ID_RULE, ImageId

router = APIRouter(prefix="/verdicts", tags=["verdicts"])

ProbeInPath = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the probe's file, in hex, as answers have it",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]
of_one = responses(UNKNOWN_VERDICT, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED)


class VerdictForm(BaseModel):
    """A probe, an enrolled image, and whether both show the same vehicle."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    image: ImageFile = Field(
        description=f"the probe's image file, as it was sent to `POST /query`: {ACCEPTED}. It is kept as "
        "long as there is a verdict on it"
    )
    image_id: ImageId = Field(
        description=f"of the enrolled image: {IMAGE_ID_RULE}", examples=["cam3/000123.jpg"]
    )
    verdict: VerdictKind = Field(description="whether both show the same vehicle", examples=["different"])
    camera_id: ProbeCamera = None
    box: BoxField = None


class VerdictsAnswer(BaseModel):
    """Some verdicts."""

    verdicts: list[VerdictAnswer]
    next: str | None = Field(
        default=None, description="pass it as `after` for the next page; null on the last one"
    )

    @classmethod
    def of(cls, page: VerdictPage) -> VerdictsAnswer:
        """The page as it goes over the wire."""
        return cls(
            verdicts=[VerdictAnswer.of(verdict) for verdict in page.verdicts],
            next=cursor_of("verdicts", page.next),
        )


@router.post(
    "",
    summary="Say whether a probe and an enrolled image show the same vehicle",
    response_description="Kept, durably, in the place of an earlier verdict on the pair",
    responses=responses(
        MALFORMED,
        TIMEOUT,
        TOO_LARGE,
        NOT_AN_IMAGE,
        INVALID_FIELDS,
        UNKNOWN_IMAGE,
        TOO_MANY_VERDICTS,
        OVERLOADED,
        NOT_READY,
        DEADLINE,
        GALLERY_DAMAGED,
        DISK_FULL,
        QUOTA_REACHED,
    ),
    dependencies=[Depends(only_fields_of(VerdictForm))],
)
async def decide(
    request: Request,
    form: Annotated[VerdictForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    settings: SettingsInUse,
    context: Context,
    audit: Audit,
    key: CallersKey,
) -> VerdictAnswer:
    """Later queries with the same file leave an image out that shows another vehicle, and put one first that
    shows the same. The verdict, and with the last one the probe's file, goes when the image is deleted.

    Of a frame, send the same `box` as to `POST /query`: what it cuts out is the probe, and is what is kept.
    """
    audit.image_id = form.image_id
    data = await read_image(form.image, settings.max_upload_bytes)
    deadline = context.arrived + settings.request_deadline_s
    shown = await while_connected(request, look_at(resources.frames, data, form.box, None, deadline))
    [probe] = shown.files
    decision = Decision(
        probe=probe,
        media_type=identify(probe).media_type,
        image_id=form.image_id,
        kind=form.verdict,
        camera_id=form.camera_id,
        decided_by=None if key is None else key.id,
    )
    kept = await to_thread.run_sync(
        resources.gallery.verdicts.decide, decision, limiter=resources.gallery_limiter
    )
    return VerdictAnswer.of(kept)


@router.get(
    "",
    summary="List verdicts",
    response_description="A page of verdicts, the pair that was decided first before others",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def page(
    resources: OpenResources,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="verdicts on a page", examples=[50])] = 100,
    after: Annotated[VerdictsCursor, Query(description=LAST)] = None,
) -> VerdictsAnswer:
    """Page through all verdicts, to learn or to calibrate from; `lka-reid verdicts export` does it."""
    found = await to_thread.run_sync(
        resources.gallery.verdicts.page, after, limit, limiter=resources.gallery_limiter
    )
    return VerdictsAnswer.of(found)


@router.get(
    "/{probe}/image",
    summary="A probe's file",
    response_class=Response,
    responses={
        **of_one,
        200: {
            "description": "The file as it was sent",
            "content": {"image/*": {"schema": {"type": "string"}, "examples": FILE_EXAMPLES}},
        },
    },
)
async def image(probe: ProbeInPath, resources: OpenResources) -> Response:
    """The file of a probe that has verdicts, byte for byte."""
    data, kind = await to_thread.run_sync(
        resources.gallery.verdicts.probe, probe, limiter=resources.gallery_limiter
    )
    return file_answer(data, kind)


@router.get(
    "/{probe}",
    summary="The verdicts on a probe",
    response_description="All of them, the first decided first; none for a probe that is not known",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def of_probe(probe: ProbeInPath, resources: OpenResources) -> VerdictsAnswer:
    """What was decided of a probe and enrolled images."""
    found = await to_thread.run_sync(resources.gallery.verdicts.of, probe, limiter=resources.gallery_limiter)
    return VerdictsAnswer.of(VerdictPage(found, None))


@router.delete(
    "/{probe}/{image_id:path}",
    status_code=204,
    summary="Take a verdict back",
    response_description="Taken back; with the last verdict on it, the probe's file is gone too",
    responses=of_one,
)
async def undo(probe: ProbeInPath, image_id: ImageIdInPath, resources: OpenResources) -> None:
    """Later queries with this probe rank the image by its likeness again."""
    await to_thread.run_sync(
        resources.gallery.verdicts.undo, probe, image_id, limiter=resources.gallery_limiter
    )
