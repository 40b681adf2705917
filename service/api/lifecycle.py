"""From start to stop: the service answers at once, and says what it is doing until it is ready.

A failure that cannot be repaired ends the process, so that its supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from service.api.error_kinds import NOT_READY
from service.api.errors import ServiceError
from service.inference.fatal_errors import EmbedderLostError
from service.resources import Resources

log = structlog.get_logger(__name__)

STOPPING = "the service is shutting down"


class Lifecycle:
    """Opens the resources in the background and closes them at the end.

    Args:
        open_resources: opens them; its argument is called with each step.
        on_failure: called when that fails, or the embedder is lost later; `failure` holds the error then.
    """

    def __init__(
        self,
        open_resources: Callable[[Callable[[str], None]], Resources],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.failure: Exception | None = None
        self._open = open_resources
        self._on_failure = on_failure
        self._step = "starting"
        self._resources: Resources | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def resources(self) -> Resources:
        """What to answer with.

        Raises:
            ServiceError: NOT_READY; the detail says what the service is doing, or what failed.
        """
        if self._resources is None:
            raise ServiceError(NOT_READY, self._step)
        return self._resources

    def start(self) -> None:
        """Begin to open the resources; returns at once."""
        self._starting = asyncio.create_task(self._start())

    async def stop(self) -> None:
        """Let no request in any more, answer those that are waiting, close everything."""
        if self._starting is not None:
            await self._starting
        resources, self._resources, self._step = self._resources, None, STOPPING
        if resources is not None:
            await resources.watching.stop()
            await resources.embedder.stop()
            await asyncio.to_thread(resources.close)
            log.info("stopped")

    def end_streams(self) -> None:
        """Let answers end that would go on for ever; the server then waits for those under way."""
        if self._resources is not None:
            self._resources.watching.listeners.close()

    def lose(self, reason: str) -> None:
        """The embedder of this process will not work again; from any thread."""
        log.critical("embedder_lost", reason=reason)
        self.failure = EmbedderLostError(f"the embedder is lost: {reason}")
        self._on_failure()

    async def _start(self) -> None:
        started = time.monotonic()
        try:
            resources = await asyncio.to_thread(self._open, self._enter)
            await resources.embedder.start()
            await resources.watching.start()
        except Exception as error:
            self.failure = error
            # The reason is for the operator: it names files of this machine.
            self._step = "the service could not start; its log says why"
            log.error("start_failed", error=type(error).__name__, reason=str(error))
            self._on_failure()
            return
        self._resources = resources
        log.info(
            "ready",
            bundle=resources.bundle.manifest.name,
            fingerprint=resources.bundle.fingerprint,
            runtime=resources.embedder.state().runtime,
            gallery_images=await asyncio.to_thread(resources.gallery.count),
            seconds=round(time.monotonic() - started, 2),
        )

    def _enter(self, step: str) -> None:
        self._step = step
        log.info("starting", step=step)
