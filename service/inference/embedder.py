"""From the bytes of an upload to its features: by a batcher in this process, or by workers behind Redis.

`LocalEmbedder` is the first way, `service.queue.remote.RemoteEmbedder` the second; the rest of the service
sees an `ImageEmbedder`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from models.decoding import ImageError, TogetherError
from models.decoding.pool import DecodePool, grouped
from models.inputspec import InputSpec
from service.inference.batcher import Batcher
from service.inference.fatal_errors import STALL_S
from service.inference.forward import Features
from service.inference.request import Embedded, Expired, Group, Outcome, Overloaded

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
        gpu_left_out: what they do without on their GPU, and why; None where nothing.
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
    gpu_left_out: str | None = None


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
        gpu_left_out: what it does without on its GPU, each with the reason.
    """

    def __init__(
        self,
        batcher: Batcher,
        spec: InputSpec,
        pool: DecodePool,
        runtime: str,
        gpu_left_out: Mapping[str, str] | None = None,
    ) -> None:
        self._batcher = batcher
        self._spec = spec
        self._pool = pool
        self._runtime = runtime
        self._gpu_left_out = in_words(gpu_left_out or {})
        # The batches in the embedder and one being decoded.
        self._batches = asyncio.Semaphore((batcher.streams + 1) * batcher.max_batch)
        # Whoever takes several of its places takes them all before the next one begins to.
        self._taking = asyncio.Lock()
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
        [outcome] = await self._embed([data], deadline)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def embed_many(self, images: Sequence[bytes], deadline: float) -> list[EmbeddedImage | Exception]:
        """See `ImageEmbedder.embed_many`."""
        groups = grouped(images, self._spec, min(self._batcher.max_batch, self._batcher.max_queue))
        found = await asyncio.gather(*(self._patiently(group, deadline) for group in groups))
        return [outcome for outcomes in found for outcome in outcomes]

    async def _embed(self, images: Sequence[bytes], deadline: float) -> list[EmbeddedImage | Exception]:
        """What becomes of images that are decoded by one process and handed in together.

        Raises:
            Overloaded, TogetherError, WorkerStoppedError, DecodePoolError: nothing is done for any of them.
        """
        with self._batcher.place(deadline, len(images)) as place:
            started = time.monotonic()
            try:
                prepared = await asyncio.wrap_future(self._pool.prepare(images, self._spec, deadline))
            except TimeoutError:
                return [_late() for _ in images]
            decode_s = time.monotonic() - started
            usable = [pixels for pixels in prepared if not isinstance(pixels, ImageError)]
            embedded = iter(await _answers(place.submit(usable), deadline) if usable else ())
        outcomes: list[EmbeddedImage | Exception] = []
        for pixels in prepared:
            found = pixels if isinstance(pixels, ImageError) else next(embedded)
            outcomes.append(
                EmbeddedImage(found.features, decode_s, found.queue_s, found.embed_s)
                if isinstance(found, Embedded)
                else found
            )
        return outcomes

    async def _patiently(self, images: Sequence[bytes], deadline: float) -> list[EmbeddedImage | Exception]:
        """What becomes of images that may wait for a place."""
        async with self._room(len(images)):
            return await self._tried(images, deadline)

    async def _tried(self, images: Sequence[bytes], deadline: float) -> list[EmbeddedImage | Exception]:
        while True:
            try:
                return await self._embed(images, deadline)
            except (Overloaded, TogetherError) as error:
                if len(images) > 1:
                    # Each is to have what room there is, and to be the only one that it harms.
                    alone = await asyncio.gather(*(self._tried([image], deadline) for image in images))
                    return [outcome for [outcome] in alone]
                if time.monotonic() + ROOM_S >= deadline:
                    return [error]
            except Exception as error:
                return [error] * len(images)
            await asyncio.sleep(ROOM_S)

    @asynccontextmanager
    async def _room(self, count: int) -> AsyncIterator[None]:
        """As many of the places that batches take together."""
        taken = 0
        try:
            async with self._taking:
                while taken < count:
                    await self._batches.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._batches.release()

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
            gpu_left_out=self._gpu_left_out,
        )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            age_s = self._batcher.health().batch_age_s
            if age_s is not None and age_s > STALL_S:
                self._batcher.give_up(f"a batch has not come back for {STALL_S:g} s")


def in_words(left_out: Mapping[str, str]) -> str | None:
    """What is left out, and why, as one text; None where nothing is."""
    return "; ".join(f"{what}: {why}" for what, why in left_out.items()) or None


async def _answers(group: Group, deadline: float) -> list[Outcome]:
    """What became of images that were handed in, as far as it is known by the deadline."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await asyncio.wrap_future(group.future)
    except TimeoutError:
        return group.so_far()


def _late() -> Expired:
    return Expired("the deadline passed before the image was embedded")
