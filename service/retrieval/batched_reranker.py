"""The second stage for concurrent queries: candidate lists that wait share a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.protocols import Reranker
from service.inference.coalescing import Coalescer

MAX_BATCH = 16
"""Probes in one forward pass at most: beyond, a CPU's caches no longer hold what it works on."""


class RerankError(Exception):
    """The re-ranker failed on a candidate list, or gave distances that cannot be used."""


@dataclass(frozen=True)
class CandidateList:
    """A probe, and those of its candidate list that have strips.

    Attributes:
        probe: float16 `[s, w]`.
        candidates: float16 `[n, s, w]`, n from 1 to what the re-ranker takes.
        similarities: float32 `[n]`, the first stage's.
    """

    probe: NDArray[np.float16]
    candidates: NDArray[np.float16]
    similarities: NDArray[np.float32]


class BatchedReranker:
    """A re-ranker that many threads call with one candidate list each.

    A list that comes while nothing is under way gets a forward pass of its own, at once. Those that come
    during a pass share the next one, the shorter ones padded. A distance depends on its probe and its
    candidate alone, so batching changes none.

    Args:
        reranker: the second stage.
        on_batch: called with the number of probes of every forward pass that succeeded.
    """

    def __init__(self, reranker: Reranker, on_batch: Callable[[int], None] = lambda _probes: None) -> None:
        self._reranker = reranker
        self._on_batch = on_batch
        self._coalescer: Coalescer[CandidateList, list[float]] = Coalescer(
            "re-ranking", self._distances, MAX_BATCH
        )

    @property
    def candidates(self) -> int:
        """How many candidates it takes at most."""
        return self._reranker.candidates

    @property
    def waiting(self) -> int:
        """Candidate lists that wait for the forward pass under way to end."""
        return self._coalescer.waiting

    def distances(self, candidate_list: CandidateList) -> list[float]:
        """The second stage's distance of each candidate, less is nearer.

        Raises:
            RerankError: the second stage failed on this list.
        """
        return self._coalescer(candidate_list)

    def distances_many(self, lists: Sequence[CandidateList]) -> list[list[float] | Exception]:
        """As `distances`, for the lists of a batch: a forward pass for each `MAX_BATCH` of them.

        A list that the second stage fails on gets the error in its place.
        """
        found: list[list[float] | Exception] = []
        for start in range(0, len(lists), MAX_BATCH):
            group = lists[start : start + MAX_BATCH]
            try:
                found += self._distances(group)
            except RerankError as error:
                found += [error] if len(group) == 1 else [self._single(each) for each in group]
        return found

    def _single(self, candidate_list: CandidateList) -> list[float] | Exception:
        try:
            return self.distances(candidate_list)
        except RerankError as error:
            return error

    def _distances(self, lists: Sequence[CandidateList]) -> Sequence[list[float] | Exception]:
        try:
            rows = self._forward(lists)
        except RerankError:
            raise
        except Exception as error:
            raise RerankError(f"the re-ranker failed: {error}") from error
        self._on_batch(len(lists))
        return [_finite(row[: len(own.candidates)]) for row, own in zip(rows, lists, strict=True)]

    def _forward(self, lists: Sequence[CandidateList]) -> NDArray[np.float32]:
        """Distances `[B, n]`, n of the longest list; values beyond a list's own end have no meaning."""
        shape = (len(lists), max(len(candidate_list.candidates) for candidate_list in lists))
        probes = np.stack([candidate_list.probe for candidate_list in lists])
        candidates = np.zeros((*shape, *probes.shape[1:]), dtype=np.float16)
        similarities = np.zeros(shape, dtype=np.float32)
        for row, candidate_list in enumerate(lists):
            candidates[row, : len(candidate_list.candidates)] = candidate_list.candidates
            similarities[row, : len(candidate_list.similarities)] = candidate_list.similarities
        distances = self._reranker.distances(probes, candidates, similarities)
        if distances.shape != shape:
            raise RerankError(
                f"the re-ranker gave distances {distances.shape} for {shape} probes and candidates"
            )
        return distances


def _finite(distances: NDArray[np.float32]) -> list[float] | Exception:
    if not np.isfinite(distances).all():
        return RerankError("the re-ranker gave distances that are not finite")
    return [float(distance) for distance in distances]
