"""What a re-ranker of descriptors can do; all of them re-order the same candidate lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.studies.baselines.collection import Collection, Floats

Codes = NDArray[np.intp]
RankOne = Callable[[Floats], Codes]
"""Descriptor of one probe `[d]` -> `[G]` gallery positions, best first."""


class Baseline(Protocol):
    """A re-ranker with its settings; descriptors are L2-normalised throughout."""

    @property
    def name(self) -> str:
        """With its mode, where it has two."""

    @property
    def transductive(self) -> bool:
        """Whether `rank` lets the probes see each other, which a service with one probe at a time cannot."""

    @property
    def settings(self) -> dict[str, float]:
        """By name."""

    @property
    def offline(self) -> str:
        """The work on the gallery alone, done before any probe comes."""

    def grid(self) -> Sequence[Baseline]:
        """The settings to choose from, in the same mode."""

    def prepared(self, gallery: Collection) -> RankOne:
        """Do the offline work; what is returned ranks for one probe at a time, whatever `rank` does."""

    def rank(self, queries: Floats, gallery: Collection) -> Codes:
        """Probes `[Q, d]` -> `[Q, G]` gallery positions, best first."""

    def rank_others(self, images: Collection) -> Codes:
        """Each of N images as a probe with all others as its gallery: `[N, N - 1]` positions.

        The probe and its gallery together are all N images whichever searches. So both modes are one here.
        """


def ordered(scores: Floats, similarities: Floats) -> Codes:
    """Positions by falling score; equal scores by the first stage, then in gallery order.

    Graph methods give most of a gallery the score zero. Publications leave the order of those open.
    """
    found: Codes = np.lexsort((-similarities, -scores))
    return found


def one_by_one(rank_one: RankOne, queries: Floats) -> Codes:
    """`[Q, d]` -> `[Q, G]`, each query alone with the gallery."""
    return np.stack([rank_one(query) for query in queries])


def without_own(order: Codes, own: int) -> Codes:
    """An order `[N]` of all images without the probe itself: `[N - 1]`."""
    kept: Codes = order[order != own]
    return kept
