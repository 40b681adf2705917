"""From the bytes of an upload to its features: decoded in a thread, embedded in a batch."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread

from models.preprocessing import InputSpec, decode, prepare
from service.batching import Batcher, Expired
from service.forward import Features
from service.protocols import Image


@dataclass(frozen=True)
class EmbeddedImage:
    """An image's features and where the time went, in s."""

    features: Features
    decode_s: float
    queue_s: float
    embed_s: float


class ImageEmbedder:
    """Decodes and embeds single images, many at a time.

    Args:
        batcher: started.
        spec: what the embedder wants to see.
        threads: images decoded at the same time.
    """

    def __init__(self, batcher: Batcher, spec: InputSpec, threads: int) -> None:
        self._batcher = batcher
        self._spec = spec
        self._limiter = CapacityLimiter(threads)

    async def embed(self, data: bytes, deadline: float) -> EmbeddedImage:
        """Embed an image file; cancelling it gives its place in the queue to the next.

        Args:
            data: the image file.
            deadline: of `time.monotonic()`, in s.

        Raises:
            ImageError: the bytes are no usable image.
            Overloaded: every place in the queue is taken.
            Expired: the deadline passed.
            EmbeddingError: the embedder failed on this image.
            WorkerStoppedError: the embedder does not run.
        """
        with self._batcher.place(deadline) as place:
            started = time.monotonic()
            image = await to_thread.run_sync(self._prepare, data, limiter=self._limiter)
            decode_s = time.monotonic() - started
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    embedded = await asyncio.wrap_future(place.submit(image))
            except TimeoutError:
                raise Expired("the deadline passed before the image was embedded") from None
        return EmbeddedImage(embedded.features, decode_s, embedded.queue_s, embedded.embed_s)

    def _prepare(self, data: bytes) -> Image:
        return prepare(decode(data), self._spec)
