"""Alerts as server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from anyio import to_thread

from index import GalleryAlerts, GalleryError
from service.watching.event import AlertEvent
from service.watching.listeners import Listeners

HEARTBEAT_S = 15.0
"""s without an alert until a comment is sent: proxies close what is silent, and a listener that has gone is
noticed by it."""
LONGEST_S = 600.0
"""s until a stream ends; whoever goes on listening shows the key again."""
AT_ONCE = 100


def event_text(event: AlertEvent) -> str:
    """An alert as an event of the stream."""
    return f"id: {event.id}\nevent: alert\ndata: {event.model_dump_json()}\n\n"


async def alert_stream(
    alerts: GalleryAlerts, listeners: Listeners, collection: str, caller: str, after: int
) -> AsyncIterator[str]:
    """Alerts of a collection that were raised after this one, as they are raised.

    The first piece is a comment, which comes at once.

    Raises:
        Overloaded: at the first piece: as many listen as may, or this caller as often as it may.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + LONGEST_S
    others_every_s = alerts.others_every_s or HEARTBEAT_S
    with listeners.listening(collection, caller) as waking:
        yield ": alerts follow\nretry: 3000\n\n"
        heard_at = clock()
        while not listeners.closed and clock() < until:
            try:
                found = await to_thread.run_sync(alerts.after, after, AT_ONCE)
            except GalleryError:
                return
            for alert in found:
                yield event_text(AlertEvent.of(alert, collection))
                after, heard_at = alert.id, clock()
            if found or await waking.sleep(min(HEARTBEAT_S, others_every_s)):
                continue
            if clock() - heard_at >= HEARTBEAT_S:
                yield ":\n\n"
                heard_at = clock()
