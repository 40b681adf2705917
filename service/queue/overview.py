"""The state of a queue and of its workers, as a service looks at it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis

from service.inference.embedder import EmbedderState
from service.queue import scripts
from service.queue.connection import failures_named
from service.queue.keys import Keys
from service.queue.stream import DEAD_LETTERS_MS

BUNDLE_MS = 15_000
"""ms that a queue stays its bundle's after its last service and worker."""


@dataclass(frozen=True)
class WorkerEntry:
    """What a worker says of itself.

    Attributes:
        fingerprint: of its bundle.
        runtime: what runs its models.
        forward_ms: when a forward pass of it last succeeded, ms since 1970 by Redis' clock.
        gpu_left_out: what its runtime does without on its GPU, and why; None where nothing.
    """

    fingerprint: str
    runtime: str
    forward_ms: float | None
    gpu_left_out: str | None = None

    def to_json(self) -> str:
        """For Redis."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> WorkerEntry:
        """The inverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        # A worker of an earlier version says nothing of it.
        left_out = values.get("gpu_left_out")
        return cls(values["fingerprint"], values["runtime"], values["forward_ms"], left_out)


@dataclass(frozen=True)
class Overview:
    """A queue at a moment.

    Attributes:
        fingerprint: of the bundle that the queue is for.
        refused: of the bundle that a worker was refused for a short while ago.
        depth: images without an answer.
        oldest_s: s that the oldest of them has waited.
        dead_letters: kept.
        workers: the living ones.
        forward_age_s: s since a forward pass last succeeded on any of them.
    """

    fingerprint: str
    refused: str | None
    depth: int
    oldest_s: float
    dead_letters: int
    workers: tuple[WorkerEntry, ...]
    forward_age_s: float | None

    def state(self, fault: str | None) -> EmbedderState:
        """As a service sees its embedder; `fault` says why none would answer it."""
        return EmbedderState(
            fault=fault,
            runtime=",".join(sorted({worker.runtime for worker in self.workers})) or "redis",
            workers=len(self.workers),
            depth=self.depth,
            oldest_s=self.oldest_s,
            forward_age_s=self.forward_age_s,
            last_failed=False,
            dead_letters=self.dead_letters,
            gpu_left_out="; ".join(sorted({worker.gpu_left_out or "" for worker in self.workers} - {""}))
            or None,
        )


def state_without_redis(fault: str, depth: int) -> EmbedderState:
    """The state of an embedder whose Redis does not answer, with so many images that wait for it."""
    return EmbedderState(
        fault=fault,
        runtime="redis",
        workers=0,
        depth=depth,
        oldest_s=0.0,
        forward_age_s=None,
        last_failed=False,
        queue_up=False,
    )


class Watch:
    """Looks at a queue, and keeps it the bundle's while it does."""

    def __init__(self, redis: Redis, keys: Keys, fingerprint: str) -> None:
        self._redis: Any = redis
        self._keys = keys
        self._fingerprint = fingerprint
        self._script = redis.register_script(scripts.OVERVIEW)

    async def look(self) -> Overview:
        """The state now.

        Raises:
            QueueUnavailableError: Redis does not answer.
        """
        keys = self._keys
        with failures_named():
            bundle, depth, oldest_ms, dead, now_ms, refused = await self._script(
                keys=[keys.bundle, keys.requests, keys.dead, keys.refused, keys.workers],
                args=[self._fingerprint, BUNDLE_MS, DEAD_LETTERS_MS],
            )
            workers = await self._workers()
        forwards = [worker.forward_ms for worker in workers if worker.forward_ms is not None]
        return Overview(
            fingerprint=bundle.decode(),
            refused=refused.decode() if refused else None,
            depth=depth,
            oldest_s=max(0.0, float(oldest_ms) / 1000),
            dead_letters=dead,
            workers=workers,
            forward_age_s=max(0.0, (float(now_ms) - max(forwards)) / 1000) if forwards else None,
        )

    async def _workers(self) -> tuple[WorkerEntry, ...]:
        """The living workers of this bundle; those that are gone are struck off the list."""
        names = [name.decode() for name in await self._redis.smembers(self._keys.workers)]
        if not names:
            return ()
        found = await self._redis.mget([self._keys.worker(name) for name in names])
        gone = [name for name, entry in zip(names, found, strict=True) if entry is None]
        if gone:
            await self._redis.srem(self._keys.workers, *gone)
        entries = [WorkerEntry.from_json(entry) for entry in found if entry is not None]
        return tuple(entry for entry in entries if entry.fingerprint == self._fingerprint)
