"""Whether queries can be answered, shown by a forward pass that succeeded a short while ago, or now."""

from __future__ import annotations

import asyncio
import io
import time

from anyio import to_thread
from PIL import Image

from index import DEFAULT, Collections, GalleryClosedError, GalleryError
from models.inputspec import InputSpec
from service.api.error_kinds import NOT_READY
from service.api.errors import ServiceError, without_paths
from service.api.health_answers import Ready
from service.inference.embedder import EmbedderState
from service.inference.forward import EmbeddingError
from service.inference.request import Expired, Overloaded, WorkerStoppedError
from service.queue.errors import DeadLetterError, ForeignBundleError, QueueUnavailableError
from service.resources import Resources

PROBE_SECONDS = 10.0
UNPROVEN = (
    Overloaded,
    Expired,
    EmbeddingError,
    WorkerStoppedError,
    QueueUnavailableError,
    ForeignBundleError,
    DeadLetterError,
)


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
            forward_age_s = self._proven(resources.embedder.state())
            if forward_age_s is None:
                await self._prove(resources)
                forward_age_s = 0.0
        size = await to_thread.run_sync(_size, resources.collections, limiter=resources.gallery_limiter)
        state = resources.embedder.state()
        in_force = resources.gallery.cameras.normalisation()
        index = resources.gallery.index_state()
        threshold = resources.bundle.manifest.threshold_for("off" if in_force.is_raw else "known")
        return Ready(
            runtime=state.runtime,
            bundle=resources.bundle.manifest.name,
            fingerprint=resources.bundle.fingerprint,
            reranker=resources.reranker is not None,
            match_threshold=None if threshold is None else threshold.similarity,
            workers=state.workers,
            gallery_size=size,
            index_kind=index.kind,
            index_device=index.device,
            gpu_left_out=None if state.gpu_left_out is None else without_paths(state.gpu_left_out),
            index_gpu_left_out=None if index.gpu_left_out is None else without_paths(index.gpu_left_out),
            queue_depth=state.depth,
            forward_age_s=round(forward_age_s, 3),
        )

    def _proven(self, state: EmbedderState) -> float | None:
        """The age in s of a forward pass that is proof; None where one has to be run."""
        if state.fault is not None:
            raise ServiceError(NOT_READY, without_paths(state.fault))
        age = state.forward_age_s
        return None if age is None or age > self._max_age_s or state.last_failed else age

    async def _prove(self, resources: Resources) -> None:
        try:
            await resources.embedder.embed(
                blank(resources.bundle.manifest.input), time.monotonic() + PROBE_SECONDS
            )
        except UNPROVEN as error:
            reason = without_paths(str(error))
            raise ServiceError(NOT_READY, f"the embedder does not answer: {reason}") from error


def _size(collections: Collections) -> int:
    """How many images all hold. Raises ServiceError where something keeps one from taking or giving them."""
    size = 0
    try:
        for name, gallery in collections.items():
            try:
                fault = gallery.fault()
                if fault is not None:
                    raise ServiceError(NOT_READY, without_paths(fault))
                size += gallery.count()
            except GalleryClosedError:
                if name == DEFAULT:
                    raise
                continue  # it is being dropped
    except GalleryClosedError:
        raise
    except GalleryError as error:
        # What it is on went away since it was asked for a fault, or has come back half.
        raise ServiceError(NOT_READY, without_paths(str(error))) from error
    return size


def blank(spec: InputSpec) -> bytes:
    """An image file of the embedder's size with nothing on it."""
    stream = io.BytesIO()
    Image.new("RGB", (max(spec.width, 8), max(spec.height, 8))).save(stream, "PNG")
    return stream.getvalue()
