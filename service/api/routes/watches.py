"""/watches: vehicles that are looked for in whatever is enrolled from now on."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Path, Request, Response

from index import DEFAULT, NewWatch
from models.decoding.formats import identify
from service.api.context import RequestContext
from service.api.dependencies import (
    Audit,
    CallersKey,
    CollectionName,
    Context,
    OpenResources,
    SettingsInUse,
    WatchesInUse,
)
from service.api.disconnect import while_connected
from service.api.error_kinds import (
    DISK_FULL,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    NO_WEBHOOK,
    NOT_READY,
    OF_A_CHOICE,
    OF_AN_UPLOAD,
    QUOTA_REACHED,
    TOO_MANY_WATCHES,
    UNKNOWN_IMAGE,
    UNKNOWN_WATCH,
)
from service.api.errors import FieldFault, ServiceError
from service.api.files import FILE_EXAMPLES, file_answer
from service.api.forms import only_fields_of, read_image
from service.api.frames import check_choice, look_at
from service.api.image_forms import LAST_NUMBER
from service.api.problems import invalid_fields, responses
from service.api.watch_forms import WatchAnswer, WatchesAnswer, WatchForm, WatchTestAnswer
from service.resources import Resources
from service.settings import Settings
from service.watching.address import RefusedWebhookError, check_url
from service.watching.delivery import message_of
from service.watching.webhook import DeliveryError

router = APIRouter(prefix="/watches", tags=["watches"])

WatchIdInPath = Annotated[int, Path(ge=1, le=LAST_NUMBER, description="as answers have it", examples=[3])]
of_one = responses(UNKNOWN_WATCH, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED)


@router.post(
    "",
    status_code=201,
    summary="Watch for a vehicle",
    response_description="Kept, durably; `Location` is the watch's path",
    responses=responses(
        *OF_AN_UPLOAD, *OF_A_CHOICE, UNKNOWN_IMAGE, TOO_MANY_WATCHES, DISK_FULL, QUOTA_REACHED
    ),
    dependencies=[Depends(only_fields_of(WatchForm))],
)
async def add(
    request: Request,
    response: Response,
    form: Annotated[WatchForm, Form(media_type="multipart/form-data")],
    resources: OpenResources,
    watches: WatchesInUse,
    collection: CollectionName,
    settings: SettingsInUse,
    context: Context,
    audit: Audit,
    key: CallersKey,
) -> WatchAnswer:
    """Each image that is enrolled from now on is compared with the vehicle in `image`, or in the enrolled
    image `image_id`, as a search would. One that reaches the threshold raises an alert: `GET /alerts` lists
    it, `GET /alerts/events` tells it at once, and it is delivered to the webhook, where one is given, signed
    as [Standard Webhooks](https://www.standardwebhooks.com) are.

    An alert goes with its image, and with its watch. A watch goes with an enrolled image of the same bytes.
    """
    audit.image_id = form.image_id
    _check(form, resources, settings)
    new = NewWatch(
        name=form.name or "",
        image_id=form.image_id,
        camera_id=form.camera_id,
        threshold=form.threshold,
        cameras=frozenset(form.only_camera_id),
        webhook=form.webhook,
        secret=form.secret,
        created_by=None if key is None else key.id,
    )
    if form.image is not None:
        data = await read_image(form.image, settings.max_upload_bytes)
        new = await while_connected(request, _embedded(new, data, form, resources, settings, context))
    kept = await to_thread.run_sync(watches.add, new, limiter=resources.gallery_limiter)
    resources.watching.added(collection)
    of = "" if collection == DEFAULT else f"?{urlencode({'collection': collection})}"
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/watches/{kept.id}{of}"
    return WatchAnswer.of(kept)


@router.get(
    "",
    summary="List watches",
    response_description="All of the collection, the first made first",
    responses=responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED),
)
async def page(resources: OpenResources, watches: WatchesInUse) -> WatchesAnswer:
    """What is looked for. There are a thousand at most."""
    found = await to_thread.run_sync(watches.all, limiter=resources.gallery_limiter)
    return WatchesAnswer(watches=[WatchAnswer.of(watch) for watch in found])


@router.get(
    "/{watch_id}/image",
    summary="The image of a watch",
    response_class=Response,
    responses={
        **of_one,
        200: {
            "description": "The file that the watch was made of",
            "content": {"image/*": {"schema": {"type": "string"}, "examples": FILE_EXAMPLES}},
        },
    },
)
async def image(watch_id: WatchIdInPath, resources: OpenResources, watches: WatchesInUse) -> Response:
    """The file as it was sent, byte for byte; of a frame, the crop that was cut out."""
    data, media_type = await to_thread.run_sync(watches.image, watch_id, limiter=resources.gallery_limiter)
    return file_answer(data, media_type)


@router.post(
    "/{watch_id}/test",
    summary="Send a test message to a watch's webhook",
    response_description="What became of it",
    responses={**of_one, **responses(NO_WEBHOOK)},
)
async def test(
    watch_id: WatchIdInPath,
    resources: OpenResources,
    watches: WatchesInUse,
    collection: CollectionName,
    context: Context,
) -> WatchTestAnswer:
    """One message of type `test`, signed as an alert's is, sent now and not again."""
    watch = await to_thread.run_sync(watches.get, watch_id, limiter=resources.gallery_limiter)
    webhook = await to_thread.run_sync(watches.webhook, watch_id, limiter=resources.gallery_limiter)
    if webhook is None:
        raise ServiceError(NO_WEBHOOK, NO_WEBHOOK.meaning)
    body = message_of("test", {"collection": collection, "watch_id": watch_id, "watch_name": watch.name})
    try:
        await resources.watching.sender.send(*webhook, f"test-{context.request_id}", body)
    except DeliveryError as error:
        return WatchTestAnswer(delivered=False, problem=str(error))
    return WatchTestAnswer(delivered=True, problem=None)


@router.get("/{watch_id}", summary="A watch", response_description="The watch", responses=of_one)
async def one(watch_id: WatchIdInPath, resources: OpenResources, watches: WatchesInUse) -> WatchAnswer:
    """What is looked for, and how many alerts it has raised."""
    return WatchAnswer.of(await to_thread.run_sync(watches.get, watch_id, limiter=resources.gallery_limiter))


@router.delete(
    "/{watch_id}",
    status_code=204,
    summary="Remove a watch",
    response_description="Removed, with its file and its alerts",
    responses=of_one,
)
async def remove(watch_id: WatchIdInPath, resources: OpenResources, watches: WatchesInUse) -> None:
    """Look for the vehicle no more; what waits to be delivered is not."""
    await to_thread.run_sync(watches.remove, watch_id, limiter=resources.gallery_limiter)


def _check(form: WatchForm, resources: Resources, settings: Settings) -> None:
    """See that what is sent belongs together. Raises ServiceError, naming the fields."""
    faults = []
    if (form.image is None) == (form.image_id is None):
        message = "send one of them: `image` for a file, or `image_id` of an enrolled image"
        faults += [FieldFault("image", message), FieldFault("image_id", message)]
    elif form.image_id is not None:
        faults += [
            FieldFault(name, "is for a file; the enrolled image's own is used")
            for name in ("camera_id", "box", "detect")
            if getattr(form, name) is not None
        ]
    if (form.webhook is None) != (form.secret is None):
        missing = "webhook" if form.webhook is None else "secret"
        faults.append(FieldFault(missing, "is required: a webhook and its secret belong together"))
    if form.webhook is not None:
        try:
            check_url(form.webhook, private=settings.allow_private_webhooks)
        except RefusedWebhookError as error:
            faults.append(FieldFault("webhook", f"is refused: {error}"))
    use = resources.gallery.cameras.normalisation().use(form.camera_id)
    if form.threshold is None and resources.bundle.manifest.threshold_for(use) is None:
        faults.append(FieldFault("threshold", "is required: the bundle is not calibrated, and has none"))
    if faults:
        raise invalid_fields(faults)
    check_choice(form.box, form.detect)


async def _embedded(
    new: NewWatch,
    data: bytes,
    form: WatchForm,
    resources: Resources,
    settings: Settings,
    context: RequestContext,
) -> NewWatch:
    """The watch with its file, of a frame what was cut out of it, and that file's descriptor."""
    deadline = context.arrived + settings.request_deadline_s
    shown = await look_at(resources.frames, data, form.box, form.detect, deadline)
    [file] = shown.files
    embedded = await resources.embedder.embed(file, deadline)
    return replace(
        new, data=file, media_type=identify(file).media_type, descriptor=embedded.features.descriptor
    )
