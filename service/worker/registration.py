"""How a worker makes itself known, and how a queue stays one bundle's."""

from __future__ import annotations

import time

from redis.asyncio import Redis

from service.queue import scripts
from service.queue.connection import failures_named
from service.queue.errors import ForeignBundleError
from service.queue.keys import Keys
from service.queue.overview import BUNDLE_MS, WorkerEntry


class Registration:
    """A worker's entry in Redis, which lasts while it gives signs of life; and Redis' clock.

    Args:
        redis: for commands that return at once.
        keys: of the queue.
        worker: the worker's name.
        fingerprint: of its bundle.
        lasts_s: s that the entry lasts without a sign of life.
    """

    def __init__(self, redis: Redis, keys: Keys, worker: str, fingerprint: str, lasts_s: float) -> None:
        self.fingerprint = fingerprint
        self._keys = keys
        self._worker = worker
        self._lasts_ms = int(1000 * lasts_s)
        self._script = redis.register_script(scripts.BEAT)
        self._runtime: str | None = None
        self._gpu_left_out: str | None = None
        self._ahead_ms = 0.0

    def now_ms(self) -> float:
        """ms since 1970 by Redis' clock, by which deadlines are measured."""
        return 1000 * time.time() + self._ahead_ms

    async def introduce(self) -> None:
        """Make the queue the bundle's, or find that it is; the worker is not listed by that.

        Raises:
            ForeignBundleError: the queue is another bundle's.
            QueueUnavailableError: Redis does not answer.
        """
        await self._send("")

    def open(self, runtime: str, gpu_left_out: str | None = None) -> None:
        """List the worker from the next `beat` on.

        Args:
            runtime: what runs its models.
            gpu_left_out: what that does without on its GPU, and why.
        """
        self._runtime = runtime
        self._gpu_left_out = gpu_left_out

    async def beat(self, forward_age_s: float | None) -> None:
        """A sign of life; a forward pass last succeeded `forward_age_s` ago.

        Raises:
            ForeignBundleError: the queue has become another bundle's.
            QueueUnavailableError: Redis does not answer.
        """
        if self._runtime is None:
            await self._send("")
            return
        forward_ms = None if forward_age_s is None else self.now_ms() - 1000 * forward_age_s
        entry = WorkerEntry(self.fingerprint, self._runtime, forward_ms, self._gpu_left_out)
        await self._send(entry.to_json())

    async def _send(self, entry: str) -> None:
        keys = self._keys
        with failures_named():
            bundle, now_ms = await self._script(
                keys=[keys.bundle, keys.workers, keys.worker(self._worker), keys.refused],
                args=[self.fingerprint, BUNDLE_MS, self._worker, entry, self._lasts_ms],
            )
        self._ahead_ms = float(now_ms) - 1000 * time.time()
        if bundle.decode() != self.fingerprint:
            raise ForeignBundleError(
                f"the queue is used with the bundle {bundle.decode()}, this worker has {self.fingerprint}; "
                "start it with the queue's bundle, or set LKA_REID_QUEUE_NAME to a queue of its own"
            )
