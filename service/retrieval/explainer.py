"""Explaining a match: two image files -> an explanation and its figure, one pair at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from index import RAW, Normalisation
from models.bundle import Bundle
from models.decoding import ImageError
from models.decoding.pool import DecodePool
from models.explanation import Explanation, Floats, check_explainable
from service.explanation.figure import Pair, draw, png
from service.inference.request import Expired, Overloaded

if TYPE_CHECKING:
    from models.explainer import Explainer

T = TypeVar("T")

PLACES = 4
"""Explanations that are let in: one at work, the others being decoded or waiting. One at work whose client
has gone keeps its place: nothing can break it off."""


@dataclass(frozen=True)
class Upload:
    """An image file, its name in the figure, the form's field that it came by, and its camera, if known."""

    data: bytes
    name: str
    field: str
    camera_id: str | None = None


@dataclass(frozen=True)
class _Cameras:
    normalisation: Normalisation
    probe: str | None
    candidate: str | None

    def taken_out(self, descriptors: Floats) -> Floats:
        return self.normalisation.apply(descriptors, [self.probe, self.candidate])


class UploadError(Exception):
    """A file that is no image; `field` is that of the form which it came by."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class PairExplainer:
    """Explains pairs with a session of its own on the CPU, beside whatever embeds for queries.

    The session is opened when it is first asked for: it costs about a second, and the memory of one more
    embedder.

    Args:
        bundle: whose models explain.
        threads: CPU threads of one inference; None for the runtime's choice.
        pool: what decodes; whoever made it closes it.
    """

    def __init__(self, bundle: Bundle, threads: int | None, pool: DecodePool) -> None:
        self._bundle = bundle
        self._threads = threads
        self._pool = pool
        self._explainer: Explainer | None = None
        self._places = threading.Semaphore(PLACES)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explainer")

    def check(self) -> None:
        """Whether the bundle can explain anything.

        Raises:
            NotExplainableError: it cannot; what it lacks.
        """
        check_explainable(self._bundle)

    def close(self) -> None:
        """End what waits, and wait for what is at work."""
        self._thread.shutdown(cancel_futures=True)

    async def explain(
        self,
        probe: Upload,
        candidate: Upload,
        deadline: float,
        normalisation: Normalisation = RAW,
    ) -> Explanation:
        """The numbers of an explanation.

        Args:
            probe: an image.
            candidate: the image that it is compared with.
            deadline: of `time.monotonic()`, in s.
            normalisation: what is taken out of their descriptors.

        Raises:
            NotExplainableError: the bundle cannot.
            UploadError: one of the files is no image.
            Overloaded: as many explanations are under way as are let in.
            Expired: the deadline passed.
            BundleError: a file of the bundle is no longer what it was.
        """
        self.check()
        return await self._run(self._explain, probe, candidate, deadline, normalisation)

    async def figure(
        self,
        probe: Upload,
        candidate: Upload,
        deadline: float,
        normalisation: Normalisation = RAW,
    ) -> bytes:
        """The figure of an explanation as a PNG file; see `explain`."""
        self.check()
        return await self._run(self._draw, probe, candidate, deadline, normalisation)

    async def _run(
        self,
        work: Callable[[Pair, _Cameras], T],
        probe: Upload,
        candidate: Upload,
        deadline: float,
        normalisation: Normalisation,
    ) -> T:
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"{PLACES} explanations are under way, as many as are let in")
        working: Future[T] | None = None
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                pair = Pair(
                    await self._decoded(probe, deadline),
                    await self._decoded(candidate, deadline),
                    probe.name,
                    candidate.name,
                )
                cameras = _Cameras(normalisation, probe.camera_id, candidate.camera_id)
                working = self._thread.submit(work, pair, cameras)
                return await asyncio.wrap_future(working)
        except TimeoutError:
            raise Expired("the deadline passed before the match was explained") from None
        finally:
            if working is None:
                self._places.release()
            else:
                working.add_done_callback(lambda _: self._places.release())

    async def _decoded(self, upload: Upload, deadline: float) -> Image.Image:
        try:
            return await asyncio.wrap_future(self._pool.decode(upload.data, deadline))
        except ImageError as error:
            raise UploadError(upload.field, str(error)) from None

    def _explain(self, pair: Pair, cameras: _Cameras) -> Explanation:
        if self._explainer is None:
            # Here, and not above: ONNX Runtime takes a while to import.
            from models.explainer import Explainer

            self._explainer = Explainer(self._bundle, self._threads)
        use = cameras.normalisation.use(cameras.probe)
        return self._explainer.explain(pair.probe, pair.candidate, cameras.taken_out, use)

    def _draw(self, pair: Pair, cameras: _Cameras) -> bytes:
        return png(draw(self._explain(pair, cameras), pair, self._bundle.manifest))
