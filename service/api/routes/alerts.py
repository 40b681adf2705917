"""/alerts: what watches have raised; listed, streamed as it happens, and delivered again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import StreamingResponse

from service.api.alert_stream import alert_stream, event_text
from service.api.cursor import LAST, AlertsCursor
from service.api.dependencies import Caller, CollectionName, OpenResources, WatchesInUse
from service.api.error_kinds import (
    DISK_FULL,
    GALLERY_DAMAGED,
    INVALID_FIELDS,
    NOT_READY,
    OVERLOADED,
    UNKNOWN_DEAD_LETTER,
)
from service.api.image_forms import LAST_NUMBER, MAX_PAGE
from service.api.problems import responses
from service.api.watch_forms import AlertAnswer, AlertsAnswer
from service.identifiers import CAPTURED_AT_RULE, CapturedAt
from service.watching.event import EXAMPLE, AlertEvent

router = APIRouter(prefix="/alerts", tags=["watches"])

EVENTS = "text/event-stream"
EVENT_EXAMPLES = {"an alert": {"value": event_text(AlertEvent.model_validate(EXAMPLE))}}
AlertIdInPath = Annotated[int, Path(ge=1, le=LAST_NUMBER, description="as answers have it", examples=[12])]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="alerts on a page", examples=[100])]
WatchId = Annotated[
    int | None, Query(ge=1, le=LAST_NUMBER, description="only those of this watch", examples=[3])
]
of_a_list = responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED)
of_one = responses(UNKNOWN_DEAD_LETTER, INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED, DISK_FULL)


@router.get("", summary="List alerts", response_description="A page, the newest first", responses=of_a_list)
async def page(
    resources: OpenResources,
    watches: WatchesInUse,
    collection: CollectionName,
    limit: Limit = 100,
    after: Annotated[AlertsCursor, Query(description=LAST)] = None,
    watch_id: WatchId = None,
    since: Annotated[
        CapturedAt | None,
        Query(
            description=f"only those raised then or later: {CAPTURED_AT_RULE}",
            examples=["2024-05-17T08:30:00+02:00"],
        ),
    ] = None,
) -> AlertsAnswer:
    """Page from the newest alert to the oldest. The last 100,000 are kept."""
    found = await to_thread.run_sync(
        partial(watches.alerts.page, after, limit, watch_id=watch_id, since=since),
        limiter=resources.gallery_limiter,
    )
    return AlertsAnswer.of(found, collection)


@router.get(
    "/events",
    summary="Stream alerts as they are raised",
    response_class=StreamingResponse,
    responses={
        **responses(INVALID_FIELDS, NOT_READY, GALLERY_DAMAGED, OVERLOADED),
        200: {
            "description": "Server-sent events, without an end",
            "content": {EVENTS: {"schema": {"type": "string"}, "examples": EVENT_EXAMPLES}},
        },
    },
)
async def events(
    request: Request,
    resources: OpenResources,
    watches: WatchesInUse,
    collection: CollectionName,
    caller: Caller,
    last_event_id: Annotated[
        int | None,
        Header(
            ge=0,
            le=LAST_NUMBER,
            description="go on after this alert, as a browser's EventSource does",
            examples=[11],
        ),
    ] = None,
) -> StreamingResponse:
    """Each alert from now on, or after the one in `Last-Event-ID`, as an event `alert` whose `id` is the
    alert's and whose data is the alert in JSON, without its delivery. A comment comes every 15 seconds where
    nothing else does. The stream ends after ten minutes, so that a key that was revoked counts no more, and
    when the service shuts down: connect again with the last id, to any replica.
    """
    if request.scope["state"].get("head"):
        return StreamingResponse(iter(()), media_type=EVENTS)
    listeners = resources.watching.listeners
    after = last_event_id
    if after is None:
        after = await to_thread.run_sync(watches.alerts.last, limiter=resources.gallery_limiter)
    stream = alert_stream(watches.alerts, listeners, collection, caller, after)
    # The first piece is waited for here: that there is no room for one more is answered as a problem.
    first = await anext(stream)

    async def all_of_it() -> AsyncIterator[str]:
        yield first
        async for piece in stream:
            yield piece

    return StreamingResponse(all_of_it(), media_type=EVENTS)


@router.get(
    "/dead-letters",
    summary="List alerts whose delivery was given up",
    response_description="A page, the newest first",
    responses=of_a_list,
)
async def dead_letters(
    resources: OpenResources,
    watches: WatchesInUse,
    collection: CollectionName,
    limit: Limit = 100,
    after: Annotated[AlertsCursor, Query(description=LAST)] = None,
    watch_id: WatchId = None,
) -> AlertsAnswer:
    """They are kept as long as their alerts, each with what became of its last attempt."""
    found = await to_thread.run_sync(
        partial(watches.alerts.page, after, limit, watch_id=watch_id, delivery="dead"),
        limiter=resources.gallery_limiter,
    )
    return AlertsAnswer.of(found, collection)


@router.post(
    "/dead-letters/{alert_id}/retry",
    summary="Deliver a dead letter again",
    response_description="The alert, which waits for its delivery",
    responses=of_one,
)
async def retry(
    alert_id: AlertIdInPath, resources: OpenResources, watches: WatchesInUse, collection: CollectionName
) -> AlertAnswer:
    """Its attempts are counted anew."""
    found = await to_thread.run_sync(watches.alerts.retry, alert_id, limiter=resources.gallery_limiter)
    resources.watching.retried()
    return AlertAnswer.with_delivery(found, collection)


@router.delete(
    "/dead-letters/{alert_id}",
    status_code=204,
    summary="Give a dead letter up for good",
    response_description="Dropped; the alert stays",
    responses=of_one,
)
async def drop(alert_id: AlertIdInPath, resources: OpenResources, watches: WatchesInUse) -> None:
    """It is not in the list of dead letters any more."""
    await to_thread.run_sync(watches.alerts.drop, alert_id, limiter=resources.gallery_limiter)
