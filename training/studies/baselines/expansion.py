"""Alpha query expansion: the probe becomes a weighted mean of itself and its nearest, and searches again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from training.studies.baselines.baseline import Codes, RankOne, one_by_one, ordered, without_own
from training.studies.baselines.collection import Collection, Floats


@dataclass(frozen=True)
class AlphaExpansion:
    """Alpha-QE (Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, section 3.3).

    q' = q + sum over the n nearest of max(q.x, 0)^alpha x, brought to length 1.

    Attributes:
        neighbours: n; 0 leaves the first stage as it is.
        alpha: 0 weighs them all alike.
    """

    neighbours: int = 3
    alpha: float = 3.0

    name = "alpha query expansion"
    transductive = False
    offline = "none"

    @property
    def settings(self) -> dict[str, float]:
        """By name."""
        return {"neighbours": self.neighbours, "alpha": self.alpha}

    def grid(self) -> Sequence[AlphaExpansion]:
        """The settings to choose from."""
        return [AlphaExpansion(n, alpha) for n, alpha in product((1, 2, 3, 5, 10), (0.0, 1.0, 3.0, 10.0))]

    def prepared(self, gallery: Collection) -> RankOne:
        """Ranks for one probe at a time."""
        known = gallery.descriptors
        return lambda probe: self._rank_one(probe, known @ probe, known)

    def rank(self, queries: Floats, gallery: Collection) -> Codes:
        """`[Q, d]` -> `[Q, G]`."""
        return one_by_one(self.prepared(gallery), queries)

    def rank_others(self, images: Collection) -> Codes:
        """`[N, N - 1]`, each against all others."""
        found = []
        for own, probe in enumerate(images.descriptors):
            similarities = images.rows(own, own + 1)[0].copy()
            similarities[own] = -np.inf
            found.append(without_own(self._rank_one(probe, similarities, images.descriptors), own))
        return np.stack(found)

    def _rank_one(self, probe: Floats, similarities: Floats, known: Floats) -> Codes:
        nearest = np.argsort(-similarities, kind="stable")[: self.neighbours]
        nearest = nearest[similarities[nearest] > 0]
        weights: Floats = np.power(similarities[nearest], self.alpha, dtype=np.float32)
        # The length of the sum changes no order.
        query: Floats = probe + weights @ known[nearest]
        return ordered(known @ query, similarities)
