"""The first stage for concurrent queries: those that wait for a search go through the next one together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index import ALL, Filter, Gallery, Match
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
    """

    descriptor: NDArray[np.float32]
    k: int
    where: Filter
    strips: int


class BatchedSearch:
    """A gallery that many threads ask about one probe each.

    A search reads every descriptor once, however many probes it is for, and that is what it takes its time
    for. A lone one goes through at once and by itself; those of one filter that arrive during another's go
    through the next one together. Matches do not depend on the company: the gallery's are exact, and the
    first k of more than k are the k best. They may come with strips that only another query asked for.

    Args:
        gallery: what is searched.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._coalescer: Coalescer[Search, list[Match]] = Coalescer(
            "search", self._answers, MAX_BATCH, alike=lambda search: search.where
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
    ) -> list[Match]:
        """The k most similar images to a probe, best first; see `Gallery.search`, also for what it raises."""
        return self._coalescer(Search(descriptor, k, where, strips))

    def _answers(self, searches: Sequence[Search]) -> Sequence[list[Match]]:
        descriptors = np.stack([search.descriptor for search in searches])
        found = self._gallery.search(
            descriptors,
            max(search.k for search in searches),
            where=searches[0].where,
            strips=max(search.strips for search in searches),
        )
        return [matches[: search.k] for matches, search in zip(found, searches, strict=True)]
