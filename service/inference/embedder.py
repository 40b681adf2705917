"""From the bytes of an upload to its features: by a batcher in this process, or by workers behind Redis.

`LocalEmbedder` is the first way, `service.queue.remote.RemoteEmbedder` the second; the rest of the service
sees an `ImageEmbedder`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.decoding.pool import DecodePool
from models.inputspec import InputSpec
from service.inference.batcher import Batcher
from service.inference.fatal_errors import STALL_S
from service.inference.forward import Features
from service.inference.request import Expired, Overloaded

WATCH_S = 1.0
ROOM_S = 0.01
"""s after which an image of a batch looks again for a place."""


@dataclass(frozen=True)
class EmbeddedImage:
    """An image's features and where the time went, in s."""

    features: Features
    decode_s: float
    queue_s: float
    embed_s: float

    @property
    def seconds(self) -> dict[str, float]:
        """Stage -> s."""
        return {"decode": self.decode_s, "queue": self.queue_s, "embed": self.embed_s}


@dataclass(frozen=True)
class EmbedderState:
    """What is known of an embedder without asking it anything.

    Attributes:
        fault: why it embeds nothing now; None where it does.
        runtime: the names of the runtimes in use, with commas between.
        workers: living ones; 1 for a batcher in this process.
        depth: images that have a place.
        oldest_s: s that the oldest image without an answer has waited; 0 where there is none.
        forward_age_s: s since a forward pass last succeeded; None before the first.
        last_failed: the newest forward pass failed.
        queue_up: Redis answers; True without Redis.
        dead_letters: kept in Redis.
    """

    fault: str | None
    runtime: str
    workers: int
    depth: int
    oldest_s: float
    forward_age_s: float | None
    last_failed: bool
    queue_up: bool = True
    dead_letters: int = 0


class ImageEmbedder(Protocol):
    """Embeds single image files, many at a time."""

    async def start(self) -> None:
        """Begin; on the event loop that `embed` will be called on."""

    async def stop(self) -> None:
        """End what `start` began; no one waits for an answer any more."""

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
            WorkerStoppedError: no embedder runs.
            QueueUnavailableError: Redis does not answer or is full.
            ForeignBundleError: the queue is another bundle's.
            DeadLetterError: the image ends whatever worker takes it.
        """

    async def embed_many(self, images: Sequence[bytes], deadline: float) -> list[EmbeddedImage | Exception]:
        """Embed image files; what became of each, in their order. None of them harms another.

        The exceptions are those that `embed` raises. Where there is no place an image waits for one: a batch
        takes as many as are embedded at the same time and leaves the others to single images.

        Args:
            images: the image files, one or more.
            deadline: as for `embed`; images that are embedded by then are answered.
        """

    def state(self) -> EmbedderState:
        """What is known of it now; at once."""


class LocalEmbedder:
    """An `ImageEmbedder` that decodes in processes of its own and embeds by a batcher in this one.

    Args:
        batcher: started.
        spec: what the embedder wants to see.
        pool: what decodes; whoever made it closes it.
        runtime: the name of what runs the models.
    """

    def __init__(self, batcher: Batcher, spec: InputSpec, pool: DecodePool, runtime: str) -> None:
        self._batcher = batcher
        self._spec = spec
        self._pool = pool
        self._runtime = runtime
        # A batch in the embedder and one being decoded.
        self._batches = asyncio.Semaphore(2 * batcher.max_batch)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look after the batcher, which runs already."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look after the batcher no more; whoever started it closes it."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def embed(self, data: bytes, deadline: float) -> EmbeddedImage:
        """See `ImageEmbedder.embed`; the errors of the queue do not occur."""
        with self._batcher.place(deadline) as place:
            started = time.monotonic()
            try:
                image = await asyncio.wrap_future(self._pool.prepare(data, self._spec, deadline))
                decode_s = time.monotonic() - started
                async with asyncio.timeout(deadline - time.monotonic()):
                    embedded = await asyncio.wrap_future(place.submit(image))
            except TimeoutError:
                raise Expired("the deadline passed before the image was embedded") from None
        return EmbeddedImage(embedded.features, decode_s, embedded.queue_s, embedded.embed_s)

    async def embed_many(self, images: Sequence[bytes], deadline: float) -> list[EmbeddedImage | Exception]:
        """See `ImageEmbedder.embed_many`."""
        return list(await asyncio.gather(*(self._outcome(data, deadline) for data in images)))

    async def _outcome(self, data: bytes, deadline: float) -> EmbeddedImage | Exception:
        """What becomes of an image that may wait for a place."""
        async with self._batches:
            while True:
                try:
                    return await self.embed(data, deadline)
                except Overloaded as error:
                    if time.monotonic() + ROOM_S >= deadline:
                        return error
                except Exception as error:
                    return error
                await asyncio.sleep(ROOM_S)

    def state(self) -> EmbedderState:
        """See `ImageEmbedder.state`."""
        health = self._batcher.health()
        return EmbedderState(
            fault=self._pool.fault if health.alive else "the embedding worker has ended; restart the service",
            runtime=self._runtime,
            workers=int(health.alive),
            depth=self._batcher.depth,
            oldest_s=self._batcher.oldest_s,
            forward_age_s=health.success_age_s,
            last_failed=health.last_failed,
        )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            age_s = self._batcher.health().batch_age_s
            if age_s is not None and age_s > STALL_S:
                self._batcher.give_up(f"a batch has not come back for {STALL_S:g} s")
