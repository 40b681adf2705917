"""The second stage for concurrent queries: the shortlists that wait for it go through one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference.coalescing import Coalescer
from service.inference.protocols import Reranker

MAX_BATCH = 16
"""Probes in one forward pass at most: beyond, a CPU's caches no longer hold what it works on."""


class RerankError(Exception):
    """The re-ranker failed on a shortlist, or answered something unusable."""


@dataclass(frozen=True)
class Shortlist:
    """A probe and those of its first candidates that have strips.

    Attributes:
        probe: float16 `[s, w]`.
        candidates: float16 `[n, s, w]`, n from 1 to what the re-ranker takes.
        similarities: float32 `[n]`, the first stage's.
    """

    probe: NDArray[np.float16]
    candidates: NDArray[np.float16]
    similarities: NDArray[np.float32]


class BatchedReranker:
    """A re-ranker that many threads ask about one shortlist each.

    A lone one goes through at once and by itself. Those that arrive during a forward pass go through the next
    one together, shorter ones padded; a distance hangs on its own probe and candidate alone, so company
    changes no answer.

    Args:
        reranker: the second stage.
        on_batch: told the number of probes of every forward pass that succeeded.
    """

    def __init__(self, reranker: Reranker, on_batch: Callable[[int], None] = lambda _probes: None) -> None:
        self._reranker = reranker
        self._on_batch = on_batch
        self._coalescer: Coalescer[Shortlist, list[float]] = Coalescer("re-ranking", self._answers, MAX_BATCH)

    @property
    def candidates(self) -> int:
        """How many candidates it takes at most."""
        return self._reranker.candidates

    @property
    def waiting(self) -> int:
        """Shortlists that wait for the forward pass under way to end."""
        return self._coalescer.waiting

    def distances(self, shortlist: Shortlist) -> list[float]:
        """The second stage's distance of each candidate, less is nearer.

        Raises:
            RerankError: the second stage failed on this shortlist.
        """
        return self._coalescer(shortlist)

    def _answers(self, shortlists: Sequence[Shortlist]) -> Sequence[list[float] | Exception]:
        try:
            rows = self._forward(shortlists)
        except RerankError:
            raise
        except Exception as error:
            raise RerankError(f"the re-ranker failed: {error}") from error
        self._on_batch(len(shortlists))
        return [_finite(row[: len(own.candidates)]) for row, own in zip(rows, shortlists, strict=True)]

    def _forward(self, shortlists: Sequence[Shortlist]) -> NDArray[np.float32]:
        """Distances `[B, n]`, n of the longest list; what stands beyond a list's own end means nothing."""
        shape = (len(shortlists), max(len(shortlist.candidates) for shortlist in shortlists))
        probes = np.stack([shortlist.probe for shortlist in shortlists])
        candidates = np.zeros((*shape, *probes.shape[1:]), dtype=np.float16)
        similarities = np.zeros(shape, dtype=np.float32)
        for row, shortlist in enumerate(shortlists):
            candidates[row, : len(shortlist.candidates)] = shortlist.candidates
            similarities[row, : len(shortlist.similarities)] = shortlist.similarities
        answer = self._reranker.distances(probes, candidates, similarities)
        if answer.shape != shape:
            raise RerankError(f"the re-ranker answered {answer.shape} for {shape} probes and candidates")
        return answer


def _finite(distances: NDArray[np.float32]) -> list[float] | Exception:
    if not np.isfinite(distances).all():
        return RerankError("the re-ranker answered distances that are not finite")
    return [float(distance) for distance in distances]
