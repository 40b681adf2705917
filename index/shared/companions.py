"""All that a gallery on Milvus keeps beside its vectors, in the shared store."""

from __future__ import annotations

from collections.abc import Callable

from index.milvus.companions import Companions, Enrolled, KeptWatches, OpenCompanions
from index.record import GalleryHeader
from index.shared.cameras import SharedCameraSums
from index.shared.claims import Claims
from index.shared.numbers import SharedNumbers, SharedSettings
from index.shared.quotas import SharedQuotas
from index.shared.store import SharedStore
from index.shared.verdicts import SharedVerdicts
from index.shared.watches import SharedWatches


def shared_companions(store: SharedStore, collection: str) -> OpenCompanions:
    """What opens the companions of a collection, by its token, for any number of replicas."""

    def open_companions(record_of: Callable[[str], int | None], descriptor_dim: int) -> Companions:
        room = SharedQuotas(store, collection)

        def open_watches(enrolled: Enrolled, header: GalleryHeader) -> KeptWatches:
            return SharedWatches(store, collection, header, enrolled, room, store.rewriting.wanted)

        return Companions(
            claims=Claims(store, collection),
            numbers=SharedNumbers(store, collection),
            room=room,
            verdicts=SharedVerdicts(store, collection, record_of, room, store.rewriting.wanted),
            sums=SharedCameraSums(store, collection, descriptor_dim, store.rewriting.wanted),
            settings=SharedSettings(store, collection),
            open_watches=open_watches,
        )

    return open_companions
