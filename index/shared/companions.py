"""All that a gallery on Milvus keeps beside its vectors, in the shared store."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from index.milvus.companions import Companions, Enrolled, KeptWatches, OpenCompanions
from index.record import GalleryHeader
from index.shared.cameras import SharedCameraSums
from index.shared.claims import Claims
from index.shared.numbers import SharedNumbers, SharedSettings
from index.shared.quotas import SharedQuotas
from index.shared.store import SharedStore, SharedStoreError
from index.shared.verdicts import SharedVerdicts
from index.shared.watches import SharedWatches

REWRITE_AFTER_S: Final = 60.0
"""s after something was forgotten until it is taken out of the store's file, too."""

log = logging.getLogger(__name__)


def shared_companions(store: SharedStore, collection: str) -> OpenCompanions:
    """What opens the companions of a collection, by its token, for any number of replicas."""

    def open_companions(record_of: Callable[[str], int | None], descriptor_dim: int) -> Companions:
        room = SharedQuotas(store, collection)
        rewriting = Rewriting(store)

        def open_watches(enrolled: Enrolled, header: GalleryHeader) -> KeptWatches:
            return SharedWatches(store, collection, header, enrolled, room, rewriting.wanted)

        return Companions(
            claims=Claims(store, collection),
            numbers=SharedNumbers(store, collection),
            room=room,
            verdicts=SharedVerdicts(store, collection, record_of, room, rewriting.wanted),
            sums=SharedCameraSums(store, collection, descriptor_dim),
            settings=SharedSettings(store, collection),
            open_watches=open_watches,
        )

    return open_companions


class Rewriting:
    """Has the store's file written anew a while after the first of several deletions.

    Where the process ends before, the next deletion by any replica does, or Redis by itself once the file has
    grown.

    Args:
        store: whose file.
        after_s: s that it waits.
    """

    def __init__(self, store: SharedStore, after_s: float = REWRITE_AFTER_S) -> None:
        self._store = store
        self._after_s = after_s
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def wanted(self) -> None:
        """Something was deleted."""
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(self._after_s, self._rewrite)
                self._timer.daemon = True
                self._timer.start()

    def _rewrite(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self._store.rewrite()
        except SharedStoreError as error:
            log.warning("what was deleted is still in the shared store's file: %s", error)
