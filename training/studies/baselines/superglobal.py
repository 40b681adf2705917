"""SuperGlobal's re-ranking: refined descriptors of the first candidates, and a probe pooled from the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from training.evaluation.ranking import reorder_first
from training.studies.baselines.baseline import Codes, RankOne, one_by_one
from training.studies.baselines.collection import Collection, Floats


@dataclass(frozen=True)
class SuperGlobal:
    """Shao et al., Global Features are All You Need for Image Retrieval and Reranking (ICCV 2023).

    As in the authors' code, of which only the re-ranking is used, on any descriptors:

    1. Each of the first M candidates becomes x' = (x + beta sum s_i x_i) / (1 + beta sum s_i) over its K
       nearest x_i among the M, s_i their cosines to x. It is not brought to length 1 again.
    2. The M are ranked by a = q.x'. The probe's expansion e is the maximum, number by number, of the
       x' of the first K + 1.
    3. The M are ranked by (a + e.x') / 2. What is ranked below M stays where it was.

    Attributes:
        candidates: M; 400 in the paper. With 1 nothing changes.
        neighbours: K; 9 in the paper.
        beta: 0.15 in the paper.
    """

    candidates: int = 400
    neighbours: int = 9
    beta: float = 0.15

    name = "SuperGlobal"
    transductive = False
    offline = "similarities of the gallery's images to each other"

    @property
    def settings(self) -> dict[str, float]:
        """By name."""
        return {"candidates": self.candidates, "neighbours": self.neighbours, "beta": self.beta}

    def grid(self) -> Sequence[SuperGlobal]:
        """The settings to choose from."""
        return [SuperGlobal(*one) for one in product((10, 50, 400), (1, 2, 4, 9), (0.05, 0.15, 0.5))]

    def prepared(self, gallery: Collection) -> RankOne:
        """Ranks for one probe at a time."""
        gallery.rows(0, 1)
        return lambda probe: self._rank_one(gallery.descriptors @ probe, gallery)

    def rank(self, queries: Floats, gallery: Collection) -> Codes:
        """`[Q, d]` -> `[Q, G]`."""
        return one_by_one(self.prepared(gallery), queries)

    def rank_others(self, images: Collection) -> Codes:
        """`[N, N - 1]`, each against all others."""
        found = []
        for own in range(len(images)):
            similarities = images.rows(own, own + 1)[0].copy()
            similarities[own] = -np.inf
            # The probe ranks last by this, and is no candidate as long as there are fewer than N.
            found.append(self._rank_one(similarities, images, len(images) - 1)[:-1])
        return np.stack(found)

    def _rank_one(self, similarities: Floats, gallery: Collection, most: int | None = None) -> Codes:
        order: Codes = np.argsort(-similarities, kind="stable")
        first = order[: min(self.candidates, len(order) if most is None else most)]
        known = gallery.descriptors
        mixing = self._mixing(gallery.among(first))
        # Products with x' are mixtures of products with x: only K + 1 of the x' are ever needed.
        refined = mixing @ similarities[first]
        best = np.argsort(-refined, kind="stable")[: self.neighbours + 1]
        expansion = (mixing[best] @ known[first]).max(axis=0)
        scores = (refined + mixing @ (known[first] @ expansion)) / 2
        return reorder_first(order, -scores)

    def _mixing(self, similarities: Floats) -> Floats:
        """`[M, M]`: what each refined descriptor takes of each candidate's."""
        count = len(similarities)
        others = similarities.copy()
        np.fill_diagonal(others, -np.inf)
        nearest = np.argsort(-others, axis=1, kind="stable")[:, : min(self.neighbours, count - 1)]
        mixing = np.zeros_like(similarities)
        values = self.beta * np.take_along_axis(similarities, nearest, axis=1)
        np.put_along_axis(mixing, nearest, values.astype(np.float32), axis=1)
        np.fill_diagonal(mixing, 1)
        mixing /= mixing.sum(axis=1, keepdims=True)
        return mixing
