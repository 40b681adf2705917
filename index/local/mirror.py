"""The database and the vector index kept in agreement, whatever fails in between."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from index.cameras.normalisation import Normalisation
from index.database.store import Store
from index.errors import GalleryClosedError, GalleryError
from index.vectors.ranking import Ranking
from index.vectors.recovery import rebuild
from index.vectors.vectors import Vectors, VectorsUnusableError

log = logging.getLogger(__name__)

Done = TypeVar("Done")


class Mirror:
    """The vector index as the mirror of the database: first the commit, then the index.

    Changes go one at a time, in the same order in both. Where the index may have missed one, it is
    checked, and filled anew if need be, before it is used again.
    """

    def __init__(self, store: Store, vectors: Vectors) -> None:
        self.store = store
        self.vectors = vectors
        self.closed = False
        self._changing = threading.Lock()
        self._suspect = False

    def change(self, commit: Callable[[], Done], follow: Callable[[Done], None]) -> Done:
        """Commit a change to the database and let the index follow; what the commit returned.

        Raises what the commit raises. A commit stands, and is acknowledged, even where the index
        could not follow.
        """
        with self.settled():
            committed = False
            try:
                done = commit()
                committed = True
                follow(done)
            except GalleryError as error:
                self._suspect = self._suspect or isinstance(error.__cause__, sqlite3.Error)
                raise
            except BaseException as error:
                # Of a commit that was interrupted nobody knows whether it took place.
                self._suspect = True
                if not committed or not isinstance(error, Exception):
                    raise
                log.exception("the vector index could not follow a committed change, it is filled anew")
                self._mend_or_log()
            return done

    def rank(
        self,
        probes: NDArray[np.float32],
        cameras: Sequence[str | None],
        k: int,
        among: NDArray[np.int64] | None = None,
    ) -> tuple[list[Ranking], Normalisation]:
        """As `Vectors.search`, for probes as they were embedded, and what normalised them and the index.

        An index is mended first where that is needed.
        """
        while True:
            if self._suspect:
                with self.settled():
                    pass
            # One of them for the whole search: another one may take its place at any time.
            vectors = self.vectors
            try:
                found = vectors.search(vectors.normalisation.apply(probes, cameras), k, among)
                return found, vectors.normalisation
            except VectorsUnusableError:
                self._suspect = True

    @contextmanager
    def settled(self) -> Iterator[None]:
        """While it is held nothing changes, and both agree. Raises GalleryClosedError."""
        with self._changing:
            if self.closed:
                raise GalleryClosedError
            with self.store.failures_named():
                self._mend()
                yield

    def close(self) -> None:
        """Wait for the change under way and for readers, then close the database."""
        with self._changing:
            self.closed = True
            self.store.close()

    def _mend(self) -> None:
        if self._suspect:
            if self.vectors.sequence != self.store.changes.last():
                rebuild(self.vectors, self.store.changes)
            self._suspect = False

    def _mend_or_log(self) -> None:
        try:
            self._mend()
        except Exception:
            log.exception("the vector index could not be filled anew, its next use tries again")
