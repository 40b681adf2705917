"""The first stage for concurrent queries: those that wait for a search go through the next one together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index import Gallery, Match
from service.inference.coalescing import Combiner

MAX_BATCH = 64
"""Probes in one search at most: beyond, a pass over the gallery is no longer what takes the time."""


@dataclass(frozen=True)
class Search:
    """What one query wants of the gallery.

    Attributes:
        descriptor: float32 `[d]`, of the probe.
        k: matches at most.
    """

    descriptor: NDArray[np.float32]
    k: int


class BatchedSearch:
    """A gallery that many threads ask about one probe each.

    A search reads every descriptor once, however many probes it is for, and that is what it takes its time
    for. A lone one goes through at once and by itself; those that arrive during another's go through the next
    one together. Answers do not depend on the company: the gallery's are exact, and the first k of more than
    k are the k best.

    Args:
        gallery: what is searched.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._combiner: Combiner[Search, list[Match]] = Combiner("search", self._answers, MAX_BATCH)

    @property
    def waiting(self) -> int:
        """Searches that wait for the one under way to end."""
        return self._combiner.waiting

    def __call__(self, descriptor: NDArray[np.float32], k: int) -> list[Match]:
        """The k most similar images to a probe, best first; see `Gallery.search`, also for what it raises."""
        return self._combiner(Search(descriptor, k))

    def _answers(self, searches: Sequence[Search]) -> Sequence[list[Match]]:
        descriptors = np.stack([search.descriptor for search in searches])
        found = self._gallery.search(descriptors, max(search.k for search in searches))
        return [matches[: search.k] for matches, search in zip(found, searches, strict=True)]
