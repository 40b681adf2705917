"""The task that delivers alerts to webhooks, again and again until they are accepted or given up."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog
from anyio import to_thread

from index import Alert, Collections, Gallery, GalleryClosedError, GalleryError
from service.watching.event import AlertEvent
from service.watching.waking import Waking
from service.watching.webhook import DeliveryError, WebhookSender

log = structlog.get_logger(__name__)

Outcome = Literal["delivered", "failed", "dead"]
AT_ONCE = 16
"""Messages that are sent at the same time."""
WAITS_S: tuple[float, ...] = (10.0, 30.0, 90.0, 300.0, 900.0, 3600.0, 10800.0)
"""s after a delivery has failed until the next, each up to a quarter more; the one after the last is given
up: eight in about five hours."""
UNNOTED_S = 60.0
"""s until an alert is looked at again whose delivery could not be noted, as on a full disk."""
OTHERS_S = 5.0
"""s between two looks where replicas share galleries: one that ended has left what it had begun."""
LEAST_S = 1.0
"""s between two looks at what is due, where nothing wakes the task."""


def message_of(kind: Literal["alert", "test"], data: dict[str, object]) -> bytes:
    """The body of a message: its type, when it was made, and what it says."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": now, "data": data}, ensure_ascii=False).encode()


class Deliverer:
    """Delivers what is due, of all collections.

    Each alert is delivered at least once: where the process ends before an answer is noted, again, under the
    same id. Where replicas share a gallery, one of them takes an alert for itself before it delivers it, for
    longer than that may last.

    Args:
        collections: all of them.
        sender: sends a message.
        on_outcome: called after each delivery.
        is_shared: whether other replicas have the same galleries.
    """

    def __init__(
        self,
        collections: Collections,
        sender: WebhookSender,
        on_outcome: Callable[[Outcome], None],
        *,
        is_shared: bool = False,
    ) -> None:
        self._is_shared = is_shared
        self._collections = collections
        self._sender = sender
        self._on_outcome = on_outcome
        self._waking: Waking | None = None
        self._sending: dict[tuple[str, int], asyncio.Task[None]] = {}

    def look(self) -> None:
        """A delivery may be due; from any thread."""
        if self._waking is not None:
            self._waking.call()

    async def run(self) -> None:
        """Deliver until cancelled; what is under way then is left to the next start."""
        self._waking = Waking()
        try:
            while True:
                pause = await self._begin_due()
                if self._is_shared:
                    pause = OTHERS_S if pause is None else min(pause, OTHERS_S)
                await self._waking.sleep(pause)
        finally:
            for task in self._sending.values():
                task.cancel()
            await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def _begin_due(self) -> float | None:
        """Begin what is due; s until something else is, None where nothing waits."""
        soonest: datetime | None = None
        try:
            collections = await to_thread.run_sync(self._collections.items)
        except GalleryError as error:  # where they are does not answer
            log.error("delivering_failed", error=type(error).__name__, reason=str(error))
            return OTHERS_S
        for name, gallery in collections:
            try:
                alerts = gallery.watches.alerts
                due = await to_thread.run_sync(alerts.due, datetime.now(UTC), AT_ONCE)
                for alert in due:
                    self._begin(name, gallery, alert)
                next_due = await to_thread.run_sync(alerts.next_due)
            except GalleryClosedError:
                continue
            except Exception as error:
                log.error("delivering_failed", collection=name, error=type(error).__name__, reason=str(error))
                next_due = datetime.now(UTC)
            if next_due is not None and (soonest is None or next_due < soonest):
                soonest = next_due
        if soonest is None:
            return None
        return max(LEAST_S, (soonest - datetime.now(UTC)).total_seconds())

    def _begin(self, name: str, gallery: Gallery, alert: Alert) -> None:
        key = (name, alert.id)
        if key in self._sending or len(self._sending) >= AT_ONCE:
            return
        task = asyncio.create_task(self._deliver(name, gallery, alert))
        self._sending[key] = task
        task.add_done_callback(lambda _task: self._end(key))

    def _end(self, key: tuple[str, int]) -> None:
        del self._sending[key]
        self.look()

    async def _deliver(self, name: str, gallery: Gallery, alert: Alert) -> None:
        watches = gallery.watches
        outcome: Outcome = "delivered"
        try:
            webhook = await to_thread.run_sync(watches.webhook, alert.watch_id)
            tried = None if webhook is None else await to_thread.run_sync(watches.alerts.take, alert.id)
            if webhook is None or tried is None:
                return
            body = message_of("alert", AlertEvent.of(alert, name).model_dump(mode="json"))
            try:
                await self._sender.send(*webhook, f"alert-{name}-{alert.id}", body)
                await to_thread.run_sync(watches.alerts.delivered, alert.id)
            except DeliveryError as error:
                again = _again_at(tried)
                outcome = "dead" if again is None else "failed"
                await to_thread.run_sync(watches.alerts.failed, alert.id, str(error), again)
        except GalleryClosedError:
            return
        except Exception as error:
            log.error("delivery_failed", collection=name, alert=alert.id, error=type(error).__name__)
            # Else it would be delivered again and again.
            await asyncio.sleep(UNNOTED_S)
            return
        log.info("delivery", collection=name, watch=alert.watch_id, alert=alert.id, outcome=outcome)
        self._on_outcome(outcome)


def _again_at(attempts: int) -> datetime | None:
    """When a delivery is tried again that failed after so many others; None where it is given up."""
    if attempts >= len(WAITS_S):
        return None
    return datetime.now(UTC) + timedelta(seconds=WAITS_S[attempts] * (1 + random.random() / 4))  # noqa: S311
