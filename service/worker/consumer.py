"""The worker's loop: reads requests, lets the batcher embed them, answers them, and gives signs of life.

A request is in one worker's hands until that worker has answered it, its client has gone, or the worker has
given no sign of life for a while. Then another takes it over, alone: with nothing else in hand, so that an
image that ends its worker takes no other one along, and after a few such deliveries it becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from models.decoding import ImageError
from service.inference.batcher import Batcher
from service.inference.embedder import EmbeddedImage, ImageEmbedder
from service.inference.fatal_errors import STALL_S
from service.inference.forward import EmbeddingError
from service.inference.request import Expired, WorkerStoppedError
from service.queue import codec
from service.queue.errors import (
    DeadLetterError,
    ForeignBundleError,
    MissingGroupError,
    QueueUnavailableError,
    SplitBatchError,
)
from service.queue.stream import Delivery, Leftover, RequestStream
from service.worker.metrics import WorkerMetrics
from service.worker.registration import Registration

log = structlog.get_logger(__name__)

READ_WAIT_S = 0.5
BACKOFF_S = 0.2
BATCH_MARGIN_S = 0.5
"""s before its deadline at which a batch is answered as far as it is embedded."""
FORESEEN = (ImageError, Expired, EmbeddingError, ForeignBundleError)


class WorkerFailedError(Exception):
    """The worker cannot go on and has to be started again; the message says why."""


class Consumer:
    """Answers requests until it is stopped or fails.

    Args:
        stream: of requests.
        registration: what tells of this worker.
        embedder: of images, in this process.
        batcher: the one behind it, for its health.
        metrics: of this worker.
        capacity: requests in hand at most: the batches in the embedder and one being decoded.
        claim_after_s: s without a sign of life after which a request is taken over.
        max_deliveries: workers that may end over a request.
    """

    def __init__(
        self,
        stream: RequestStream,
        registration: Registration,
        embedder: ImageEmbedder,
        batcher: Batcher,
        metrics: WorkerMetrics,
        *,
        capacity: int,
        claim_after_s: float,
        max_deliveries: int,
    ) -> None:
        self._stream = stream
        self._registration = registration
        self._embedder = embedder
        self._batcher = batcher
        self._metrics = metrics
        self._capacity = capacity
        self._claim_after_s = claim_after_s
        self._max_deliveries = max_deliveries

        self._held: dict[str, asyncio.Task[None]] = {}
        self._delivering: set[str] = set()
        self._looked = 0.0
        self._stopping = False
        self._over = False
        self._fault: Exception | None = None

    @property
    def held(self) -> int:
        """Requests in hand."""
        return len(self._held)

    def stop(self) -> None:
        """Read no more; `run` returns when what is in hand is answered."""
        self._stopping = True

    async def run(self) -> None:
        """Answer requests until `stop`.

        Raises:
            WorkerFailedError: the embedder is lost; what is in hand is left to others.
            ForeignBundleError: the queue has become another bundle's.
        """
        beating = asyncio.create_task(self._keep_beating())
        try:
            while not self._stopping and self._fault is None:
                await self._step()
            while self._held and self._fault is None:
                await asyncio.wait(self._held.values(), timeout=READ_WAIT_S)
        finally:
            # Redis' client may swallow a cancellation that meets an answer; the flag is not missed.
            self._over = True
            beating.cancel()
            for task in self._held.values():
                task.cancel()
            await asyncio.gather(beating, *self._held.values(), return_exceptions=True)
        if self._fault is not None:
            raise self._fault

    async def _step(self) -> None:
        try:
            if time.monotonic() - self._looked >= self._claim_after_s / 4:
                await self._look_after_leftovers()
            free = self._capacity - self.held
            if free > 0:
                for delivery in await self._stream.read(free, READ_WAIT_S):
                    self._begin(delivery)
            else:
                await asyncio.wait(
                    self._held.values(), timeout=READ_WAIT_S, return_when=asyncio.FIRST_COMPLETED
                )
        except MissingGroupError:
            await self._prepare()
        except QueueUnavailableError as error:
            await self._bear(error)

    async def _prepare(self) -> None:
        try:
            await self._stream.prepare()
        except QueueUnavailableError as error:
            await self._bear(error)

    async def _bear(self, error: QueueUnavailableError) -> None:
        self._metrics.redis_error()
        log.warning("queue_down", reason=str(error))
        await asyncio.sleep(BACKOFF_S)

    async def _look_after_leftovers(self) -> None:
        """Take over what others left behind, one request at a time with nothing else in hand."""
        while not self._stopping and self._fault is None:
            self._looked = time.monotonic()
            if not await self._stream.has_leftovers(self._claim_after_s):
                return
            if self._held:
                await asyncio.wait(self._held.values())
            leftover = await self._stream.take_over(self._claim_after_s, self._max_deliveries)
            if leftover is None:
                return
            if leftover.is_spent:
                await self._bury(leftover)
                continue
            self._metrics.claimed()
            log.warning(
                "claimed",
                entry=leftover.delivery.entry,
                request_id=leftover.delivery.trace,
                left_by=leftover.holder,
                deliveries=leftover.delivery.deliveries,
            )
            await asyncio.wait([self._begin(leftover.delivery)])

    async def _bury(self, leftover: Leftover) -> None:
        delivery = leftover.delivery
        error = DeadLetterError.of(delivery.entry, delivery.deliveries)
        if await self._stream.bury(leftover, codec.encode_error(delivery.request, error)):
            self._metrics.dead_lettered()
            log.error(
                "dead_lettered",
                entry=delivery.entry,
                request_id=delivery.trace,
                deliveries=delivery.deliveries,
            )

    def _begin(self, delivery: Delivery) -> asyncio.Task[None]:
        task = asyncio.create_task(self._process(delivery))
        self._held[delivery.entry] = task
        task.add_done_callback(lambda _task: self._held.pop(delivery.entry, None))
        return task

    async def _process(self, delivery: Delivery) -> None:
        # Of this task alone; the batcher carries it on to the embedder.
        structlog.contextvars.bind_contextvars(request_id=delivery.trace)
        try:
            outcome = await self._outcome(delivery)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if isinstance(error, WorkerStoppedError):
                self._fail(error)
                return
            outcome = error
            if not isinstance(error, FORESEEN):
                log.exception("request_failed", entry=delivery.entry)
                outcome = EmbeddingError("the worker failed on this image")
        if isinstance(outcome, list):
            answer = codec.encode_batch(delivery.request, outcome)
        elif isinstance(outcome, EmbeddedImage):
            answer = codec.encode_features(delivery.request, outcome)
        else:
            answer = codec.encode_error(delivery.request, outcome)
        if await self._deliver(delivery, answer):
            for one in outcome if isinstance(outcome, list) else [outcome]:
                self._count(one)

    async def _outcome(
        self, delivery: Delivery
    ) -> EmbeddedImage | Exception | list[EmbeddedImage | Exception]:
        if delivery.fingerprint != self._registration.fingerprint:
            return ForeignBundleError(
                f"the image was meant for the bundle {delivery.fingerprint}, "
                f"its worker has {self._registration.fingerprint}"
            )
        now_ms = self._registration.now_ms()
        waited_s = max(0.0, (now_ms - delivery.queued_ms) / 1000)
        left_s = (delivery.deadline_ms - now_ms) / 1000
        if left_s <= 0:
            return Expired("the deadline passed while the image was waiting")
        deadline = time.monotonic() + left_s
        if not delivery.is_batch:
            return _queued(await self._embedder.embed(delivery.image, deadline), waited_s)
        if delivery.deliveries > 1:
            return SplitBatchError("a worker ended with this batch in hand")
        # What is done by then is to be with the client before its own patience ends.
        deadline -= min(BATCH_MARGIN_S, left_s / 10)
        outcomes = await self._embedder.embed_many(codec.unpack(delivery.image), deadline)
        lost = next((one for one in outcomes if isinstance(one, WorkerStoppedError)), None)
        if lost is not None:
            raise lost
        return [_queued(one, waited_s) if isinstance(one, EmbeddedImage) else one for one in outcomes]

    async def _deliver(self, delivery: Delivery, answer: bytes) -> bool:
        """Write an answer; while Redis is away, try until nobody waits for it any more."""
        self._delivering.add(delivery.entry)
        try:
            while not self._over:
                try:
                    return await self._stream.answer(delivery, answer)
                except QueueUnavailableError as error:
                    await self._bear(error)
                    if self._registration.now_ms() >= delivery.deadline_ms:
                        break
            return False
        finally:
            self._delivering.discard(delivery.entry)

    def _count(self, outcome: EmbeddedImage | Exception) -> None:
        if isinstance(outcome, EmbeddedImage):
            self._metrics.embedded(outcome)
        elif isinstance(outcome, ImageError):
            self._metrics.answered("not-an-image")
        else:
            self._metrics.answered("expired" if isinstance(outcome, Expired) else "failed")

    def _fail(self, error: Exception) -> None:
        """End the worker; what it holds stays without an answer, for others to take over."""
        if self._fault is None:
            log.critical("embedder_lost", error=str(error))
            self._fault = WorkerFailedError(f"the embedder is lost: {error}")
            self._fault.__cause__ = error

    async def _keep_beating(self) -> None:
        while not self._over:
            health = self._batcher.health()
            if not health.alive:
                self._fail(WorkerStoppedError("the embedding thread has ended"))
            if health.batch_age_s is not None and health.batch_age_s > STALL_S:
                self._fail(EmbeddingError(f"a batch has not come back for {STALL_S:g} s"))
            try:
                await self._beat(health.success_age_s)
            except ForeignBundleError as error:
                self._fault = self._fault or error
            except MissingGroupError:
                await self._prepare()
            except QueueUnavailableError as error:
                self._metrics.redis_error()
                log.warning("queue_down", reason=str(error))
            await asyncio.sleep(self._claim_after_s / 4)

    async def _beat(self, forward_age_s: float | None) -> None:
        await self._registration.beat(forward_age_s)
        entries = list(self._held)
        if not entries:
            return
        for entry in set(entries) - await self._stream.touch(entries) - self._delivering:
            # Its client has gone, or another worker has it: nobody waits for this answer.
            if entry in self._held:
                self._metrics.withdrawn()
                self._held[entry].cancel()


def _queued(image: EmbeddedImage, waited_s: float) -> EmbeddedImage:
    """The image with its wait in Redis."""
    return EmbeddedImage(image.features, image.decode_s, waited_s + image.queue_s, image.embed_s)
