"""Whether queries can be answered, shown by a forward pass that succeeded a short while ago, or now."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from anyio import to_thread

from service.batching import Expired, Overloaded, WorkerStoppedError
from service.errors import NOT_READY, ServiceError
from service.forward import EmbeddingError
from service.resources import Resources
from service.schemas import Ready

PROBE_SECONDS = 10.0


class Readiness:
    """Checks resources; at most one forward pass runs on its behalf at a time.

    Args:
        max_age_s: s that a forward pass counts as proof.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._probing = asyncio.Lock()

    async def check(self, resources: Resources) -> Ready:
        """What is ready.

        Raises:
            ServiceError: NOT_READY, saying what does not answer.
        """
        async with self._probing:
            if not self._is_proven(resources):
                await self._prove(resources)
        size = await to_thread.run_sync(resources.gallery.count, limiter=resources.gallery_limiter)
        bundle = resources.models.bundle
        return Ready(
            runtime=resources.models.runtime,
            bundle=bundle.manifest.name,
            fingerprint=bundle.fingerprint,
            reranker=resources.models.reranker is not None,
            gallery_size=size,
            queue_depth=resources.batcher.depth,
            forward_age_s=round(resources.batcher.health().success_age_s or 0.0, 3),
        )

    def _is_proven(self, resources: Resources) -> bool:
        health = resources.batcher.health()
        if not health.alive:
            raise ServiceError(NOT_READY, "the embedding worker has ended; restart the service")
        fresh = health.success_age_s is not None and health.success_age_s <= self._max_age_s
        return fresh and not health.last_failed

    async def _prove(self, resources: Resources) -> None:
        spec = resources.models.bundle.manifest.input
        blank = np.zeros((3, spec.height, spec.width), dtype=np.float32)
        try:
            with resources.batcher.place(time.monotonic() + PROBE_SECONDS) as place:
                async with asyncio.timeout(PROBE_SECONDS):
                    await asyncio.wrap_future(place.submit(blank))
        except (Overloaded, Expired, EmbeddingError, WorkerStoppedError, TimeoutError) as error:
            reason = str(error) or f"no answer within {PROBE_SECONDS:g} s"
            raise ServiceError(NOT_READY, f"the embedder does not answer: {reason}") from error
