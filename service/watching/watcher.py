"""The task that compares whatever is enrolled with the watches of its collection."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial

import structlog
from anyio import to_thread

from index import Collections, Gallery, GalleryClosedError, GalleryError
from service.watching.comparison import ThresholdFor, compare
from service.watching.waking import Waking

log = structlog.get_logger(__name__)

AT_ONCE = 256
"""Images that are compared in one go; their descriptors are 8 MB."""
AGAIN_S = 5.0
"""s until a collection is looked at again that could not be, and each one where other replicas may have left
something."""


class Watcher:
    """Looks at each collection after each enrollment, and at all of them at the start.

    Where an image cannot be compared, or the alert not be kept, it is tried again: what is not looked at yet
    is known by the gallery. Where replicas share one, each looks every `AGAIN_S` for what another one left.

    Args:
        collections: all of them.
        threshold_for: for watches without a threshold of their own.
        on_raised: called with the collection's name and the number of new alerts.
        is_shared: whether other replicas have the same galleries.
    """

    def __init__(
        self,
        collections: Collections,
        threshold_for: ThresholdFor,
        on_raised: Callable[[str, int], None],
        *,
        is_shared: bool = False,
    ) -> None:
        self._is_shared = is_shared
        self._collections = collections
        self._threshold_for = threshold_for
        self._on_raised = on_raised
        self._waking: Waking | None = None
        self._due: set[str] = set()

    def look(self, name: str) -> None:
        """Something was enrolled, or a first watch was added; from any thread."""
        self._due.add(name)
        if self._waking is not None:
            self._waking.call()

    async def run(self) -> None:
        """Compare until cancelled; on the service's event loop."""
        self._waking = Waking()
        clock = asyncio.get_running_loop().time
        all_at = clock()
        while True:
            due = {self._due.pop() for _ in range(len(self._due))}
            is_all = clock() >= all_at
            if is_all:
                all_at = clock() + AGAIN_S if self._is_shared else math.inf
            try:
                found = await to_thread.run_sync(self._collections.items)
            except GalleryError as error:  # where they are does not answer
                log.error("watching_failed", error=type(error).__name__, reason=str(error))
                all_at, found = clock() + AGAIN_S, []
            for name, gallery in found:
                if is_all or name in due:
                    await self._look_at(name, gallery)
            pause = min(all_at - clock(), AGAIN_S if self._due else math.inf)
            await self._waking.sleep(None if pause == math.inf else max(pause, 0.0))

    async def _look_at(self, name: str, gallery: Gallery) -> None:
        # Before it is looked at: what comes meanwhile calls `look`.
        gallery.watches.on_enrolled(partial(self.look, name))
        try:
            while (raised := await to_thread.run_sync(self._compare, gallery)) is not None:
                if raised:
                    log.info("alerts_raised", collection=name, alerts=raised)
                    self._on_raised(name, raised)
        except GalleryClosedError:
            return
        except Exception as error:
            log.error("watching_failed", collection=name, error=type(error).__name__, reason=str(error))
            self._due.add(name)

    def _compare(self, gallery: Gallery) -> int | None:
        """Compare the next images; how many alerts they raised, None where none are left."""
        watches = gallery.watches
        found = watches.unchecked(AT_ONCE)
        if found is None:
            return None
        normalisation = gallery.cameras.normalisation()
        raised = compare(watches.watched(), found, normalisation, self._threshold_for)
        return len(watches.raised(raised, found))
