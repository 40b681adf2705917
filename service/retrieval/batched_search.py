"""The first stage for concurrent queries: those that wait share a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index import ALL, Filter, Found, Gallery
from service.inference.coalescing import Coalescer

MAX_BATCH = 64
"""Probes in one search at most: beyond, a pass over the gallery is no longer what takes the time."""


@dataclass(frozen=True)
class Search:
    """What one query wants of the gallery.

    Attributes:
        descriptor: float32 `[d]`, of the probe.
        k: matches at most.
        where: what is searched.
        strips: so many of the first matches with their strips.
        camera_id: of the probe, None for an unknown one.
    """

    descriptor: NDArray[np.float32]
    k: int
    where: Filter
    strips: int
    camera_id: str | None


class BatchedSearch:
    """A gallery that many threads search for one probe each.

    A search takes the time to read every descriptor once, however many probes it is for. A query that comes
    while nothing is under way gets a search of its own, at once. Those that come during a search share the
    next one, if their filters are equal. Batching changes no matches: the gallery's are exact, and the first
    k of more than k are the k best. They may come with strips that only another query asked for.

    Args:
        gallery: what is searched.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._coalescer: Coalescer[Search, Found] = Coalescer(
            "search", self._found, MAX_BATCH, alike=lambda search: search.where
        )

    @property
    def waiting(self) -> int:
        """Searches that wait for the one under way to end."""
        return self._coalescer.waiting

    def __call__(
        self,
        descriptor: NDArray[np.float32],
        k: int,
        *,
        where: Filter = ALL,
        strips: int = 0,
        camera_id: str | None = None,
    ) -> Found:
        """The k most similar images to a probe, best first; see `Gallery.search`, also for what it raises."""
        return self._coalescer(Search(descriptor, k, where, strips, camera_id))

    def _found(self, searches: Sequence[Search]) -> Sequence[Found]:
        descriptors = np.stack([search.descriptor for search in searches])
        found = self._gallery.search(
            descriptors,
            max(search.k for search in searches),
            where=searches[0].where,
            strips=max(search.strips for search in searches),
            cameras=[search.camera_id for search in searches],
        )
        return [
            Found(matches[: search.k], matches.normalisation, matches.searched)
            for matches, search in zip(found, searches, strict=True)
        ]
