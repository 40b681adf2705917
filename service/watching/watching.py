"""All that goes on for watches while the service answers."""

from __future__ import annotations

import asyncio

import structlog

from index import Collections
from service.observability.metrics import Metrics
from service.watching.comparison import ThresholdFor
from service.watching.delivery import Deliverer
from service.watching.listeners import Listeners
from service.watching.watcher import Watcher
from service.watching.webhook import WebhookSender

log = structlog.get_logger(__name__)


class Watching:
    """Compares, delivers, and wakes who listens.

    Args:
        collections: all of them.
        threshold_for: the bundle's thresholds.
        metrics: count alerts and deliveries.
        private: whether webhooks may lead to private addresses.
        is_shared: whether other replicas have the same galleries.

    Attributes:
        listeners: for alerts.
        sender: of webhooks.
    """

    def __init__(
        self,
        collections: Collections,
        threshold_for: ThresholdFor,
        metrics: Metrics,
        *,
        private: bool,
        is_shared: bool = False,
    ) -> None:
        self.listeners = Listeners()
        self.sender = WebhookSender(private=private)
        self._metrics = metrics.watches
        self._deliverer = Deliverer(collections, self.sender, metrics.watches.delivery, is_shared=is_shared)
        self._watcher = Watcher(collections, threshold_for, self._raised, is_shared=is_shared)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; on the service's event loop."""
        self._tasks = [asyncio.create_task(each.run()) for each in (self._watcher, self._deliverer)]
        for task in self._tasks:
            task.add_done_callback(_tell)

    async def stop(self) -> None:
        """End what `start` began."""
        self.listeners.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sender.close()

    def added(self, collection: str) -> None:
        """A watch was added to a collection."""
        self._watcher.look(collection)

    def retried(self) -> None:
        """A dead letter is to be delivered again."""
        self._deliverer.look()

    def _raised(self, collection: str, alerts: int) -> None:
        self._metrics.raised(alerts)
        self._deliverer.look()
        self.listeners.wake(collection)


def _tell(task: asyncio.Task[None]) -> None:
    """Say of a task that goes on for as long as the service why it ended, where nobody asked it to."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("watching_ended", exc_info=error)
