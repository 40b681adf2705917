"""The published re-rankers written out loop by loop, in float64, from their descriptions alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def k_reciprocal_distances(
    queries: NDArray[np.floating], gallery: NDArray[np.floating], k1: int, k2: int, weight: float
) -> Doubles:
    """`[Q, G]` final distances; queries and gallery are encoded together."""
    images = np.concatenate([queries, gallery]).astype(np.float64)
    n = len(images)
    distance = [[float(((a - b) ** 2).sum()) for b in images] for a in images]
    scaled = [[value / max(row) for value in row] for row in distance]
    ranking = [sorted(range(n), key=lambda j, i=i: (distance[i][j], j)) for i in range(n)]  # type: ignore[misc]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in ranking[i][: k + 1] if i in ranking[j][: k + 1]}

    codes: list[dict[int, float]] = []
    for i in range(n):
        near = reciprocal(i, k1)
        members = set(near)
        for c in near:
            theirs = reciprocal(c, int(np.around(k1 / 2)))
            if len(theirs & near) > 2 / 3 * len(theirs):
                members |= theirs
        raw = {j: math.exp(-scaled[i][j]) for j in members}
        codes.append({j: value / sum(raw.values()) for j, value in raw.items()})
    if k2 > 1:
        codes = [
            {j: sum(codes[m].get(j, 0.0) for m in ranking[i][:k2]) / k2 for j in range(n)} for i in range(n)
        ]
    q = len(queries)
    out = np.empty((q, n - q))
    for i in range(q):
        for j in range(q, n):
            smaller = sum(min(codes[i].get(c, 0.0), codes[j].get(c, 0.0)) for c in range(n))
            larger = sum(max(codes[i].get(c, 0.0), codes[j].get(c, 0.0)) for c in range(n))
            out[i, j - q] = (1 - weight) * (1 - smaller / larger) + weight * scaled[i][j]
    return out


def propagated_similarities(
    queries: NDArray[np.floating], gallery: NDArray[np.floating], k1: int, k2: int, alpha: float
) -> Doubles:
    """`[Q, G]` cosines of the features after two rounds of message passing."""
    images = np.concatenate([queries, gallery]).astype(np.float64)
    n, q = len(images), len(queries)
    cosine = images @ images.T
    ranking = [sorted(range(n), key=lambda j, i=i: (-cosine[i][j], j)) for i in range(n)]  # type: ignore[misc]
    feature = np.zeros((n, n))
    for i in range(n):
        for j in ranking[i][:k1]:
            feature[i, j] = 1
    if k2 > 1:
        for _ in range(2):
            both = feature + feature.T
            feature = np.zeros((n, n))
            for i in range(n):
                for j in ranking[i][:k2]:
                    feature[i] += cosine[i, j] ** alpha * both[j]
                feature[i] /= math.sqrt(float((feature[i] ** 2).sum()))
    return np.array([[float(feature[i] @ feature[j]) for j in range(q, n)] for i in range(q)])


def superglobal_ranking(
    query: NDArray[np.floating], gallery: NDArray[np.floating], candidates: int, neighbours: int, beta: float
) -> list[int]:
    """Gallery positions, best first, for one query."""
    x, probe = gallery.astype(np.float64), query.astype(np.float64)
    order = sorted(range(len(x)), key=lambda j: -float(x[j] @ probe))
    first, rest = order[:candidates], order[candidates:]
    refined = {}
    for m in first:
        nearest = sorted((j for j in first if j != m), key=lambda j: -float(x[j] @ x[m]))[:neighbours]
        total, weights = x[m].copy(), 1.0
        for j in nearest:
            total += beta * float(x[j] @ x[m]) * x[j]
            weights += beta * float(x[j] @ x[m])
        refined[m] = total / weights
    once = sorted(first, key=lambda m: -float(probe @ refined[m]))
    pooled = np.max([refined[m] for m in once[: neighbours + 1]], axis=0)
    score = {m: (float(probe @ refined[m]) + float(pooled @ refined[m])) / 2 for m in first}
    return sorted(first, key=lambda m: -score[m]) + rest


def expanded_ranking(
    query: NDArray[np.floating], gallery: NDArray[np.floating], neighbours: int, alpha: float
) -> list[int]:
    """Gallery positions, best first, for one query."""
    x, probe = gallery.astype(np.float64), query.astype(np.float64)
    nearest = sorted(range(len(x)), key=lambda j: -float(x[j] @ probe))[:neighbours]
    asked = probe + sum((max(float(x[j] @ probe), 0) ** alpha * x[j] for j in nearest if x[j] @ probe > 0), 0)
    asked /= np.linalg.norm(asked)
    return sorted(range(len(x)), key=lambda j: -float(x[j] @ asked))
