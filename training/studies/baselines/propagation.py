"""Re-ranking as a graph network without weights: an image's neighbours are its features, passed on twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.studies.baselines.baseline import Codes, RankOne, one_by_one, ordered, without_own
from training.studies.baselines.collection import (
    Collection,
    Floats,
    Neighbours,
    neighbours,
    squared_distances,
    with_probe,
)

LAYERS = 2
SETTINGS = ((3, 2), (5, 2), (5, 3), (10, 2), (10, 4), (26, 4), (26, 7), (60, 10))


@dataclass(frozen=True)
class GraphPropagation:
    """Zhang et al., Understanding Image Retrieval Re-Ranking: A Graph Neural Network Perspective (2020).

    The features A `[n, n]` of n images are 1 at each one's k1 nearest (itself among them), else 0. Twice:
    A <- A + A^T, then each row becomes the sum over its k2 nearest of cosine^alpha times their rows, then
    rows are brought to length 1. Images are ranked by the product of their rows.

    Memory: three n x n arrays of float32.

    Attributes:
        k1: neighbours that make the features.
        k2: neighbours that features are passed on from, at most k1; with 1 none are.
        alpha: 2 in the paper.
        transductive: all probes and the gallery make one graph, as published. Otherwise each probe makes
            a graph with the gallery alone, as in a service.
    """

    k1: int = 26
    k2: int = 7
    alpha: float = 2.0
    transductive: bool = False

    offline = "similarities and neighbours of the gallery's images among each other"

    def __post_init__(self) -> None:
        if not 1 <= self.k2 <= self.k1:
            raise ValueError(f"k2 = {self.k2} is not between 1 and k1 = {self.k1}")

    @property
    def name(self) -> str:
        """With the mode."""
        return f"graph propagation, {'all probes at once' if self.transductive else 'single probe'}"

    @property
    def settings(self) -> dict[str, float]:
        """By name."""
        return {"k1": self.k1, "k2": self.k2, "alpha": self.alpha}

    def grid(self) -> Sequence[GraphPropagation]:
        """The settings to choose from."""
        return [replace(self, k1=k1, k2=k2) for k1, k2 in SETTINGS]

    def prepared(self, gallery: Collection) -> RankOne:
        """Ranks for one probe at a time."""
        known = neighbours(gallery, self.k1)

        def rank_one(probe: Floats) -> Codes:
            similarities = gallery.descriptors @ probe
            graph = with_probe(known, squared_distances(similarities), self.k1)
            features = self._features(graph)
            return ordered(features[:-1] @ features[-1], similarities)

        return rank_one

    def rank(self, queries: Floats, gallery: Collection) -> Codes:
        """`[Q, d]` -> `[Q, G]`."""
        if not self.transductive:
            return one_by_one(self.prepared(gallery), queries)
        union = Collection(np.concatenate([queries, gallery.descriptors]))
        features = self._features(neighbours(union, self.k1))
        count = len(queries)
        scores = features[:count] @ features[count:].T
        similarities = queries @ gallery.descriptors.T
        return np.stack([ordered(*pair) for pair in zip(scores, similarities, strict=True)])

    def rank_others(self, images: Collection) -> Codes:
        """`[N, N - 1]`, each against all others."""
        features = self._features(neighbours(images, self.k1))
        found = []
        for own in range(len(images)):
            similarities = images.rows(own, own + 1)[0]
            found.append(without_own(ordered(features @ features[own], similarities), own))
        return np.stack(found)

    def _features(self, graph: Neighbours) -> Floats:
        count = len(graph.order)
        features = np.zeros((count, count), dtype=np.float32)
        np.put_along_axis(features, graph.order, np.float32(1), axis=1)
        if self.k2 == 1:
            return features
        sources = graph.order[:, : self.k2]
        weights = np.abs(1 - graph.distances[:, : self.k2] / 2) ** np.float32(self.alpha)
        for _ in range(LAYERS):
            features = features + features.T
            passed = np.zeros_like(features)
            for source, weight in zip(sources.T, weights.T, strict=True):
                passed += weight[:, None] * features[source]
            lengths = np.linalg.norm(passed, axis=1, keepdims=True)
            features = passed / np.maximum(lengths, np.finfo(np.float32).tiny)
        return features
