"""The stream of requests, as a worker reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from service.queue import scripts
from service.queue.connection import failures_named
from service.queue.keys import GROUP, Keys

ONE, BATCH = b"one", b"batch"
"""What an entry holds: an image, or several."""
ANSWERS_KEPT_MS = 60_000
"""ms that answers wait for a service that has gone."""
DEAD_LETTERS_KEPT = 20
"""The newest ones; each holds its image."""
DEAD_LETTERS_MS = 24 * 3_600_000
"""ms that a dead letter is kept: an image that is to be forgotten must not stay there."""


@dataclass(frozen=True)
class Delivery:
    """A request in a worker's hands.

    Attributes:
        entry: its id in the stream, which begins with the ms since 1970 at which it was put there.
        request: its id in the service that waits for the answer.
        answers: key of that service's answers.
        fingerprint: of the bundle that is to embed it.
        deadline_ms: ms since 1970 by Redis' clock.
        trace: the id of the HTTP request, for the logs.
        image: the image file; of a batch, the files as `codec.pack` makes them.
        deliveries: how often it was handed to a worker, this time included.
        is_batch: whether it is one.
    """

    entry: str
    request: bytes
    answers: str
    fingerprint: str
    deadline_ms: float
    trace: str
    image: bytes
    deliveries: int
    is_batch: bool = False

    @classmethod
    def of(cls, entry: bytes, fields: Mapping[bytes, bytes], deliveries: int) -> Delivery:
        """Read an entry of the stream."""
        return cls(
            entry=entry.decode(),
            request=fields[b"request"],
            answers=fields[b"answers"].decode(),
            fingerprint=fields[b"fingerprint"].decode(),
            deadline_ms=float(fields[b"deadline"]),
            trace=fields[b"trace"].decode(),
            image=fields[b"image"],
            deliveries=deliveries,
            is_batch=fields.get(b"kind") == BATCH,
        )

    @property
    def queued_ms(self) -> float:
        """When it was put on the stream, ms since 1970 by Redis' clock."""
        return float(self.entry.partition("-")[0])


@dataclass(frozen=True)
class Leftover:
    """A request that its worker left behind.

    Attributes:
        delivery: the request.
        holder: the worker that had it.
        is_spent: it has had all its deliveries and was not taken over.
    """

    delivery: Delivery
    holder: str
    is_spent: bool


class RequestStream:
    """Reads and answers requests for one worker.

    Every method raises QueueUnavailableError where Redis does not answer, and its MissingGroupError where the
    stream has to be made by `prepare` first.

    Args:
        redis: for commands that return at once.
        blocking: for reads that wait; its patience must exceed theirs.
        keys: of the queue.
        worker: the worker's name, unlike every other one's.
    """

    def __init__(self, redis: Redis, blocking: Redis, keys: Keys, worker: str) -> None:
        self._redis: Any = redis
        self._blocking: Any = blocking
        self._keys = keys
        self._worker = worker
        self._answer = redis.register_script(scripts.ANSWER)
        self._bury = redis.register_script(scripts.BURY)
        self._stale = redis.register_script(scripts.STALE)
        self._take_over = redis.register_script(scripts.TAKE_OVER)
        self._touch = redis.register_script(scripts.TOUCH)
        self._leave = redis.register_script(scripts.LEAVE)
        self._leave_behind = redis.register_script(scripts.LEAVE_BEHIND)
        self._forgetting = redis.register_script(scripts.FORGET)

    async def prepare(self) -> None:
        """Make the stream and its group where they are not there."""
        with failures_named():
            try:
                await self._redis.execute_command(
                    "XGROUP", "CREATE", self._keys.requests, GROUP, "0", "MKSTREAM"
                )
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def read(self, most: int, wait_s: float) -> list[Delivery]:
        """Up to `most` requests that no worker has had, after waiting `wait_s` at most for the first."""
        with failures_named():
            streams = await self._blocking.execute_command(
                *("XREADGROUP", "GROUP", GROUP, self._worker, "COUNT", most),
                *("BLOCK", max(1, int(1000 * wait_s)), "STREAMS", self._keys.requests, ">"),
            )
        return [Delivery.of(entry, fields, 1) for _, found in streams or [] for entry, fields in found]

    async def has_leftovers(self, after_s: float) -> bool:
        """Whether a request has had no sign of life from its worker for `after_s`."""
        with failures_named():
            return bool(await self._stale(keys=[self._keys.requests], args=[GROUP, int(1000 * after_s)]))

    async def take_over(self, after_s: float, max_deliveries: int) -> Leftover | None:
        """The oldest request without a sign of life for `after_s`, this worker's from now on unless spent."""
        with failures_named():
            found = await self._take_over(
                keys=[self._keys.requests],
                args=[GROUP, self._worker, int(1000 * after_s), max_deliveries],
            )
        if not found:
            return None
        verdict, deliveries, holder, entry, flat = found
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return Leftover(Delivery.of(entry, fields, deliveries), holder.decode(), verdict == b"spent")

    async def touch(self, entries: Iterable[str]) -> set[str]:
        """Give a sign of life for requests in hand; those that are still this worker's.

        The others were withdrawn by their clients, or taken over.
        """
        with failures_named():
            mine = await self._touch(keys=[self._keys.requests], args=[GROUP, self._worker, *entries])
        return {entry.decode() for entry in mine}

    async def answer(self, delivery: Delivery, answer: bytes) -> bool:
        """Acknowledge a request and write its answer, in one step; False where nobody wants one any more."""
        with failures_named():
            return bool(
                await self._answer(
                    keys=[self._keys.requests, delivery.answers],
                    args=[GROUP, delivery.entry, answer, ANSWERS_KEPT_MS],
                )
            )

    async def bury(self, leftover: Leftover, answer: bytes) -> bool:
        """Answer a request and keep it as a dead letter; False where another worker did."""
        delivery = leftover.delivery
        with failures_named():
            return bool(
                await self._bury(
                    keys=[self._keys.requests, delivery.answers, self._keys.dead],
                    args=[
                        *(GROUP, delivery.entry, answer, ANSWERS_KEPT_MS),
                        *(DEAD_LETTERS_KEPT, delivery.deliveries, leftover.holder, DEAD_LETTERS_MS),
                    ],
                )
            )

    async def leave_behind(self) -> int:
        """Tell that this worker has ended: what it holds, so many requests, is for others to take over."""
        with failures_named():
            return int(await self._leave_behind(keys=[self._keys.requests], args=[GROUP, self._worker]))

    async def leave(self) -> None:
        """Tell that this worker takes no more requests; what it still holds is for others to take over."""
        await self.leave_behind()
        keys = [self._keys.requests, self._keys.workers, self._keys.worker(self._worker)]
        with failures_named():
            await self._leave(keys=keys, args=[GROUP, self._worker])
        await self._forget(self._worker)

    async def forget_the_gone(self) -> None:
        """Strike workers off the group that are gone and have nothing in hand, so that it does not grow."""
        with failures_named():
            found = await self._redis.xinfo_consumers(self._keys.requests, GROUP)
        for consumer in found:
            await self._forget(consumer["name"].decode())

    async def _forget(self, worker: str) -> None:
        with failures_named():
            await self._forgetting(
                keys=[self._keys.requests, self._keys.worker(worker)], args=[GROUP, worker]
            )
