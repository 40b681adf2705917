"""Explaining a match: two image files -> an explanation and its figure, one pair at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread
from PIL import Image

from models.bundle import Bundle
from models.decoding import ImageError, decode
from models.explanation import Explanation, check_explainable
from service.explanation.picture import Pair, draw, png
from service.inference.request import Expired, Overloaded

if TYPE_CHECKING:
    from models.explainer import Explainer

T = TypeVar("T")

PLACES = 4
"""Requests for an explanation that are let in: one at work, the others waiting."""


@dataclass(frozen=True)
class Upload:
    """An image file, its name in the figure, and the form's field that it came by."""

    data: bytes
    name: str
    field: str


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
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self._bundle = bundle
        self._threads = threads
        self._explainer: Explainer | None = None
        self._inside = 0
        self._limiter = CapacityLimiter(1)
        # A request that is cancelled gives its turn away while its thread still runs.
        self._lock = threading.Lock()

    def check(self) -> None:
        """Whether the bundle can explain anything.

        Raises:
            NotExplainableError: it cannot; what it lacks.
        """
        check_explainable(self._bundle)

    async def explain(self, probe: Upload, candidate: Upload, deadline: float) -> Explanation:
        """The numbers of an explanation.

        Args:
            probe: an image.
            candidate: the image that it is compared with.
            deadline: of `time.monotonic()`, in s.

        Raises:
            NotExplainableError: the bundle cannot.
            UploadError: one of the files is no image.
            Overloaded: as many explanations are under way as are let in.
            Expired: the deadline passed.
            BundleError: a file of the bundle is no longer what it was.
        """
        self.check()
        return await self._run(lambda: self._explain(probe, candidate)[0], deadline)

    async def figure(self, probe: Upload, candidate: Upload, deadline: float) -> bytes:
        """The figure of an explanation as a PNG file; see `explain`."""
        self.check()
        return await self._run(lambda: self._draw(probe, candidate), deadline)

    async def _run(self, work: Callable[[], T], deadline: float) -> T:
        if self._inside >= PLACES:
            raise Overloaded(f"{PLACES} explanations are under way, as many as are let in")
        self._inside += 1
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await to_thread.run_sync(work, limiter=self._limiter)
        except TimeoutError:
            raise Expired("the deadline passed before the match was explained") from None
        finally:
            self._inside -= 1

    def _explain(self, probe: Upload, candidate: Upload) -> tuple[Explanation, Pair]:
        pair = Pair(_decode(probe), _decode(candidate), probe.name, candidate.name)
        with self._lock:
            if self._explainer is None:
                # Here, and not above: ONNX Runtime takes a while to import.
                from models.explainer import Explainer

                self._explainer = Explainer(self._bundle, self._threads)
            return self._explainer.explain(pair.probe, pair.candidate), pair

    def _draw(self, probe: Upload, candidate: Upload) -> bytes:
        explanation, pair = self._explain(probe, candidate)
        return png(draw(explanation, pair, self._bundle.manifest))


def _decode(upload: Upload) -> Image.Image:
    try:
        return decode(upload.data)
    except ImageError as error:
        raise UploadError(upload.field, str(error)) from None
