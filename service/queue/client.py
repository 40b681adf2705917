"""The service's side of the queue: images onto the stream, answers from the list of this process."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any

import structlog
from redis.asyncio import Redis

from service.inference.embedder import EmbeddedImage, EmbedderState
from service.inference.forward import EmbeddingError
from service.inference.request import Expired, Overloaded, WorkerStoppedError
from service.queue import codec, scripts
from service.queue.connection import connect_as_set, failures_named
from service.queue.errors import (
    DeadLetterError,
    ForeignBundleError,
    QueueUnavailableError,
    SplitBatchError,
)
from service.queue.keys import GROUP, Keys
from service.queue.overview import Overview, Watch, state_without_redis
from service.queue.stream import BATCH, DEAD_LETTERS_KEPT, DEAD_LETTERS_MS, ONE
from service.settings import Settings

log = structlog.get_logger(__name__)

POLL_S = 0.5
"""s between two looks at the queue, and that one read of the answers waits at most."""
ANSWERS_AT_ONCE = 64
RESTART_S = 30.0
"""s after the last living worker was seen in which images are still taken in: another may be starting."""
GUILTY = 2
"""Workers that end over an image until its deadline, for it to be a dead letter: the second had it alone."""
Outcome = EmbeddedImage | list[EmbeddedImage | Exception]
"""What a request is answered with: an image's features, or what became of each of a batch."""
UNWATCHED = QueueUnavailableError("Redis was not reached yet")


class QueueClient:
    """Puts images on the queue and hands their answers to whoever waits for them; all on one event loop.

    One task reads the answers of this process, another looks after the queue's state. Where Redis stops
    answering, everyone who waits gets an error at once: whether Redis still has the image is not known.

    Args:
        settings: the queue's name, bounds and patience.
        fingerprint: of the service's bundle.
        on_dead_letter: called when an image of this service became a dead letter.

    Raises:
        RedisUrlError: the URL of Redis does not read.
        OSError: the file with its password cannot be read.
    """

    def __init__(
        self, settings: Settings, fingerprint: str, on_dead_letter: Callable[[], None] = lambda: None
    ) -> None:
        self._keys = Keys(settings.queue_name)
        self._fingerprint = fingerprint
        self._places = settings.max_queue
        self._claim_after_ms = int(1000 * settings.claim_after_s)
        self._guilty = min(GUILTY, settings.max_deliveries)
        self._on_dead_letter = on_dead_letter
        self._answers = self._keys.answers(secrets.token_hex(8))
        self._redis = connect_as_set(settings)
        self._reading = connect_as_set(settings, POLL_S, connections=1)
        self._admit = self._redis.register_script(scripts.ADMIT)
        self._withdraw = self._redis.register_script(scripts.WITHDRAW)
        self._expire = self._redis.register_script(scripts.EXPIRE)
        self._watch = Watch(self._redis, self._keys, fingerprint)

        self._numbers = count()
        self._waiting: dict[bytes, asyncio.Future[Outcome]] = {}
        self._overview: Overview | QueueUnavailableError = UNWATCHED
        self._awaited_until = 0.0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._tidying: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to read answers; looks at the queue once, so that what is known is true."""
        await self._look()
        self._tasks = [asyncio.create_task(self._keep_looking()), asyncio.create_task(self._keep_reading())]

    async def stop(self) -> None:
        """End; whoever still waits gets an error."""
        # Redis' client may swallow a cancellation that meets an answer; the flag is not missed.
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._tidying, return_exceptions=True)
        self._fail_all(WorkerStoppedError("the service is shutting down"))
        for client in (self._redis, self._reading):
            await client.aclose()

    async def embed(self, data: bytes, deadline: float, trace: str) -> EmbeddedImage:
        """See `ImageEmbedder.embed`; `trace` is the HTTP request's id, for the worker's log."""
        outcome = await self._ask(data, ONE, deadline, trace)
        if isinstance(outcome, list):
            raise EmbeddingError("a worker answered a batch to one image")
        return outcome

    async def embed_many(
        self, images: Sequence[bytes], deadline: float, trace: str
    ) -> list[EmbeddedImage | Exception]:
        """See `ImageEmbedder.embed_many`: one entry and one answer.

        Where a worker ended with the batch in hand, its images are sent one by one: the one that ended it
        ends no other's answer.

        Raises:
            Exception: what `embed` raises, where it concerns all of them.
        """
        if not images:
            return []
        try:
            outcome = await self._ask(codec.pack(images), BATCH, deadline, trace)
        except (SplitBatchError, DeadLetterError):
            singly = (self.embed(data, deadline, trace) for data in images)
            found = await asyncio.gather(*singly, return_exceptions=True)
            return [one if isinstance(one, EmbeddedImage) else _failure(one) for one in found]
        if not isinstance(outcome, list) or len(outcome) != len(images):
            raise EmbeddingError(f"a worker did not answer each of a batch of {len(images)} images")
        return outcome

    async def _ask(self, data: bytes, kind: bytes, deadline: float, trace: str) -> Outcome:
        self._check()
        if len(self._waiting) >= self._places:
            raise self._overloaded()
        request = b"%x" % next(self._numbers)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        # A task of its own: who hangs up now must still be able to take the request back.
        admission = asyncio.create_task(self._put(request, data, kind, deadline, trace))
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await asyncio.shield(admission)
                return await answer
        except TimeoutError:
            await self._give_up(admission, trace)
            raise Expired("the deadline passed before the image was embedded") from None
        finally:
            del self._waiting[request]
            # An exception that nobody retrieves would be logged when the future is collected.
            answered = answer.done() and not answer.cancelled() and answer.exception() is None
            if not answered:
                self._in_background(self._take_back(admission))

    def state(self) -> EmbedderState:
        """See `ImageEmbedder.state`; at most a second or so old."""
        seen = self._overview
        if isinstance(seen, QueueUnavailableError):
            return state_without_redis(str(seen), len(self._waiting))
        fault = self._fault(seen)
        return seen.state(None if fault is None else str(fault))

    def _check(self) -> None:
        """Refuse at once where nobody would answer; not where a worker may just be starting anew.

        Raises:
            QueueUnavailableError, ForeignBundleError, WorkerStoppedError: why nobody would.
        """
        if isinstance(self._overview, QueueUnavailableError):
            raise QueueUnavailableError(str(self._overview))
        fault = self._fault(self._overview)
        if fault is not None and not (isinstance(fault, WorkerStoppedError) and self._is_awaited()):
            raise fault

    def _is_awaited(self) -> bool:
        """Whether a worker that was there is likely to be followed by another of the same bundle."""
        refused = isinstance(self._overview, Overview) and self._overview.refused
        return not refused and time.monotonic() < self._awaited_until

    def _fault(self, seen: Overview) -> Exception | None:
        if seen.fingerprint != self._fingerprint:
            return self._foreign(seen.fingerprint)
        if not seen.workers:
            refused = seen.refused
            also = f"; a worker with the bundle {refused} was refused" if refused else ""
            return WorkerStoppedError(
                f"no embedding worker with this service's bundle {self._fingerprint} is running{also}"
            )
        return None

    def _foreign(self, fingerprint: str) -> ForeignBundleError:
        return ForeignBundleError(
            f"the queue is used with the bundle {fingerprint}, this service has {self._fingerprint}; "
            "start its workers with the service's bundle"
        )

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"all {self._places} places for waiting images are taken")

    async def _put(self, request: bytes, data: bytes, kind: bytes, deadline: float, trace: str) -> bytes:
        """Take a place; the entry's id.

        Raises:
            Overloaded, ForeignBundleError, QueueUnavailableError: there is none.
        """
        milliseconds = int(1000 * (deadline - time.monotonic()))
        with failures_named():
            outcome, *rest = await self._admit(
                keys=[self._keys.requests, self._keys.bundle],
                args=[
                    *(self._fingerprint, self._places, request, self._answers),
                    *(milliseconds, trace, data, kind),
                ],
            )
        if outcome == b"full":
            raise self._overloaded()
        if outcome == b"foreign":
            if not rest or rest[0] is None:
                raise QueueUnavailableError("Redis has lost the queue; it is made anew")
            raise self._foreign(rest[0].decode())
        return bytes(rest[0])

    async def _give_up(self, admission: asyncio.Task[bytes], trace: str) -> None:
        """Take a request back whose deadline has passed, and see what became of its workers.

        Raises:
            DeadLetterError: they ended, so that the image was put aside.
        """
        if not admission.done() or admission.exception() is not None:
            return
        entry = admission.result()
        try:
            with failures_named():
                ended = await self._expire(
                    keys=[self._keys.requests, self._keys.dead],
                    args=[
                        *(GROUP, entry, DEAD_LETTERS_KEPT, self._claim_after_ms, self._guilty),
                        DEAD_LETTERS_MS,
                    ],
                )
        except QueueUnavailableError:
            return
        if ended:
            self._on_dead_letter()
            log.error("dead_lettered", entry=entry.decode(), request_id=trace, deliveries=ended)
            raise DeadLetterError.of(entry.decode(), ended)

    async def _take_back(self, admission: asyncio.Task[bytes]) -> None:
        """Free the place of a request that nobody waits for any more."""
        try:
            entry = await admission
            with failures_named():
                await self._withdraw(keys=[self._keys.requests], args=[GROUP, entry])
        except (QueueUnavailableError, ForeignBundleError, Overloaded):
            return

    async def _keep_looking(self) -> None:
        while not self._stopping:
            await asyncio.sleep(POLL_S)
            await self._look()

    async def _look(self) -> None:
        was_up = isinstance(self._overview, Overview)
        try:
            self._overview = await self._watch.look()
            if self._overview.workers:
                self._awaited_until = time.monotonic() + RESTART_S
            if not was_up:
                log.info("queue_up")
        except QueueUnavailableError as error:
            self._overview = error
            self._fail_all(error)
            if was_up:
                log.error("queue_down", reason=str(error))

    async def _keep_reading(self) -> None:
        while not self._stopping:
            try:
                for answer in await self._read():
                    self._resolve(answer)
            except QueueUnavailableError as error:
                self._fail_all(error)
                await asyncio.sleep(POLL_S)

    async def _read(self) -> list[bytes]:
        with failures_named():
            first = await _client(self._reading).execute_command("BLPOP", self._answers, POLL_S)
            if first is None:
                return []
            more = await _client(self._reading).execute_command("LPOP", self._answers, ANSWERS_AT_ONCE)
        return [first[1], *(more or [])]

    def _resolve(self, message: bytes) -> None:
        try:
            answer = codec.decode(message)
        except codec.CodecError as error:
            log.error("answer_unreadable", error=str(error))
            return
        future = self._waiting.get(answer.request)
        if future is None or future.done():
            return
        if isinstance(answer.outcome, Exception):
            future.set_exception(answer.outcome)
        else:
            future.set_result(answer.outcome)

    def _fail_all(self, error: Exception) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(type(error)(str(error)))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)


def _failure(outcome: BaseException) -> Exception:
    """A single image's exception; a cancellation is all of theirs."""
    if isinstance(outcome, Exception):
        return outcome
    raise outcome


def _client(redis: Redis) -> Any:
    """The client without its types, which know no answer's shape."""
    return redis
