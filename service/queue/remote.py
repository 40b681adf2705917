"""An `ImageEmbedder` whose work is done by workers behind Redis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import structlog

from service.inference.embedder import EmbeddedImage, EmbedderState
from service.queue.client import QueueClient
from service.settings import Settings


class RemoteEmbedder:
    """A `QueueClient` on an event loop and in a thread of its own.

    The service's own loop stands still for a second when a thousand requests arrive at once; what Redis had
    long answered would count as late.

    Args:
        settings: the queue's name, bounds and patience.
        fingerprint: of the service's bundle.
        on_dead_letter: called when an image of this service became a dead letter.

    Raises:
        RedisUrlError: the URL of Redis does not read.
    """

    def __init__(
        self, settings: Settings, fingerprint: str, on_dead_letter: Callable[[], None] = lambda: None
    ) -> None:
        self._client = QueueClient(settings, fingerprint, on_dead_letter)
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    async def start(self) -> None:
        """See `ImageEmbedder.start`."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._client.start(), self._loop))

    async def stop(self) -> None:
        """See `ImageEmbedder.stop`."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._client.stop(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)

    async def embed(self, data: bytes, deadline: float) -> EmbeddedImage:
        """See `ImageEmbedder.embed`."""
        trace = str(structlog.contextvars.get_contextvars().get("request_id", ""))
        work = self._client.embed(data, deadline, trace)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def embed_many(self, images: Sequence[bytes], deadline: float) -> list[EmbeddedImage | Exception]:
        """See `ImageEmbedder.embed_many`."""
        trace = str(structlog.contextvars.get_contextvars().get("request_id", ""))
        work = self._client.embed_many(images, deadline, trace)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def state(self) -> EmbedderState:
        """See `ImageEmbedder.state`; at most a second or so old."""
        return self._client.state()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()
