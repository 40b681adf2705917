"""The result of a retrieval: where each query's correct matches rank. Every figure is computed from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """Q queries and the ranks of their correct matches.

    Attributes:
        queries: `[Q]` names of the queries, each once.
        vehicles: `[Q]` of the queries.
        gallery: images that a query searched; the most, where queries searched different galleries.
        ranks: of each query the ranks of its correct matches, from 1, ascending; empty where the gallery has
            none.

    Raises:
        ValueError: other numbers of names, vehicles and ranks, a query that is there twice, or ranks that do
            not ascend from 1 to `gallery` at most.
    """

    queries: NDArray[np.str_]
    vehicles: NDArray[np.str_]
    gallery: int
    ranks: tuple[Indices, ...]

    def __post_init__(self) -> None:
        if not len(self.queries) == len(self.vehicles) == len(self.ranks):
            raise ValueError(
                f"{len(self.queries)} queries, {len(self.vehicles)} vehicles and {len(self.ranks)} lists of "
                "ranks make no result"
            )
        names, counts = np.unique(self.queries, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"query {names[counts > 1][0]} is there {counts.max()} times")
        for name, ranks in zip(self.queries, self.ranks, strict=True):
            if len(ranks) and (ranks[0] < 1 or ranks[-1] > self.gallery or (np.diff(ranks) < 1).any()):
                raise ValueError(
                    f"query {name}: ranks {ranks.tolist()} do not ascend within a gallery of {self.gallery}"
                )

    @classmethod
    def pooled(cls, results: Iterable[RetrievalResult]) -> RetrievalResult:
        """The queries of several results together."""
        parts = list(results)
        return cls(
            np.concatenate([part.queries for part in parts]),
            np.concatenate([part.vehicles for part in parts]),
            max(part.gallery for part in parts),
            tuple(ranks for part in parts for ranks in part.ranks),
        )

    @cached_property
    def first(self) -> Indices:
        """`[Q]` rank of each query's first correct match; 0 where there is none."""
        return np.array([ranks[0] if len(ranks) else 0 for ranks in self.ranks], dtype=np.intp)

    def where(self, chosen: NDArray[np.bool_]) -> RetrievalResult:
        """Some of the queries, `[Q]`."""
        ranks = tuple(self.ranks[place] for place in np.flatnonzero(chosen))
        return RetrievalResult(self.queries[chosen], self.vehicles[chosen], self.gallery, ranks)

    def answerable(self) -> RetrievalResult:
        """The queries that have a correct match in the gallery: those that count.

        Raises:
            ValueError: there is none.
        """
        if not self.first.any():
            raise ValueError("no query has a correct match in the gallery")
        return self.where(self.first > 0)


def won_and_lost(before: RetrievalResult, after: RetrievalResult) -> tuple[int, int]:
    """How many queries' first match became correct, and how many became wrong.

    Raises:
        ValueError: the results are of different queries.
    """
    if not np.array_equal(before.queries, after.queries):
        raise ValueError("results of different queries cannot be compared")
    return moved_first(before.first, after.first)


def moved_first(before: NDArray[np.integer], after: NDArray[np.integer]) -> tuple[int, int]:
    """How many queries' first correct match came to rank 1, and how many left it.

    Args:
        before: rank of each query's first correct match `[Q]`.
        after: the same queries' `[Q]`.
    """
    was, is_now = before == 1, after == 1
    return int((~was & is_now).sum()), int((was & ~is_now).sum())
