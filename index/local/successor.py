"""An index that is made beside the one in use, and takes its place in one step.

What is there is read first, in short reads; what came and went meanwhile follows; then, while nothing
changes, the last of it, and the switch. A search uses one or the other as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from index.cameras.normalisation import Normalisation
from index.database.changes import Changes
from index.local.mirror import Mirror
from index.local.snapshot_writer import SnapshotWriter
from index.vectors.builder import Builder
from index.vectors.kind import Kind
from index.vectors.vectors import Vectors

LAST: Final = 256
"""Changes that are left for the moment in which enrollments wait."""
ROUNDS: Final = 4
"""Times that what changed meanwhile is followed before that."""


class Successor:
    """Makes successors of one gallery's index.

    Args:
        mirror: the index in use, and the database that it agrees with.
        snapshots: of the index.
        builder: of indexes.
    """

    def __init__(self, mirror: Mirror, snapshots: SnapshotWriter, builder: Builder) -> None:
        self._mirror = mirror
        self._snapshots = snapshots
        self.builder = builder

    def switch(
        self,
        prepare: Callable[[Vectors], tuple[Kind, Normalisation]],
        commit: Callable[[Vectors], None] = lambda _: None,
        on_piece: Callable[[], None] = lambda: None,
    ) -> Vectors:
        """Make a successor, and put it in the index's place; the new one.

        Args:
            prepare: what it is to be, by the index in use.
            commit: called with the new one while nothing changes, before it takes the place.
            on_piece: called again and again; what it raises ends the making.

        Raises:
            DamagedImageError: a descriptor is damaged; the index stays.
            GalleryClosedError: the gallery is closed, or was meanwhile.
        """
        with self._snapshots.held_off():
            with self._mirror.settled():
                current, changes = self._mirror.vectors, self._mirror.store.changes
                ids, since = current.ids(), changes.last()
            kind, normalisation = prepare(current)
            vectors = self.builder.empty(kind, ids, normalisation)
            vectors.reach(since)
            self._fill(vectors, on_piece)
            with self._mirror.settled():
                self._follow(vectors, on_piece)
                vectors.reach(changes.last())
                if not np.array_equal(vectors.ids(), self._mirror.vectors.ids()):
                    raise RuntimeError("the descriptors in the database are not those of the vector index")
                commit(vectors)
                self._mirror.vectors = vectors
        self._snapshots.outdate()
        return vectors

    def _fill(self, vectors: Vectors, on_piece: Callable[[], None]) -> None:
        for _ in range(ROUNDS):
            if self._follow(vectors, on_piece) <= LAST:
                break

    def _follow(self, vectors: Vectors, on_piece: Callable[[], None]) -> int:
        """Let the new index hold what the one in use does; by how many it differed.

        An image whose camera was amended has the same number, and another vector.
        """
        since = vectors.sequence or 0
        with self._mirror.store.reading() as connection:
            changes = Changes(connection)
            last, touched, wanted = changes.last(), changes.touched_after(since), changes.ids()
        held = vectors.ids()
        kept = np.setdiff1d(np.intersect1d(held, wanted), touched)
        gone, added = np.setdiff1d(held, kept), np.setdiff1d(wanted, kept)
        vectors.remove(gone, sequence=None)
        self.builder.fill(vectors, added, on_piece)
        vectors.reach(last)
        return len(gone) + len(added)
