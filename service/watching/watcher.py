"""The task that compares whatever is enrolled with the watches of its collection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
from anyio import to_thread

from index import Collections, Gallery, GalleryClosedError
from service.watching.comparison import ThresholdFor, compare
from service.watching.waking import Waking

log = structlog.get_logger(__name__)

AT_ONCE = 256
"""Images that are compared in one go; their descriptors are 8 MB."""
AGAIN_S = 5.0
"""s until a collection is looked at again that could not be."""


class Watcher:
    """Looks at each collection after each enrollment, and at all of them at the start.

    Where an image cannot be compared, or the alert not be kept, it is tried again: what is not looked at yet
    is known by the gallery.

    Args:
        collections: all of them.
        threshold_for: for watches without a threshold of their own.
        on_raised: called with the collection's name and the number of new alerts.
    """

    def __init__(
        self,
        collections: Collections,
        threshold_for: ThresholdFor,
        on_raised: Callable[[str, int], None],
    ) -> None:
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
        for name in await to_thread.run_sync(self._collections.names):
            self.look(name)
        while True:
            await self._waking.sleep(AGAIN_S if self._due else None)
            due = {self._due.pop() for _ in range(len(self._due))}
            for name, gallery in await to_thread.run_sync(self._collections.items):
                if name in due:
                    await self._look_at(name, gallery)

    async def _look_at(self, name: str, gallery: Gallery) -> None:
        if gallery.watches is None:
            return
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
        found = None if watches is None else watches.unchecked(AT_ONCE)
        if watches is None or found is None:
            return None
        normalisation = gallery.cameras.normalisation()
        raised = compare(watches.watched(), found, normalisation, self._threshold_for)
        return len(watches.raised(raised, found.last))
