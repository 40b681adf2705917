"""Rankings: gallery positions, best first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.evaluation.result import Indices, RetrievalResult

if TYPE_CHECKING:
    # Bundles are evaluated without torch.
    from training.features.extract import Features


def rank_gallery(similarities: NDArray[np.floating]) -> Indices:
    """`[Q, G]` similarities -> `[Q, G]` gallery positions, best first; ties in gallery order."""
    return np.argsort(-similarities, axis=1, kind="stable")


def reorder_first(positions: Indices, distances: NDArray[np.floating]) -> Indices:
    """Re-order the first n of a ranking by ascending distance; what ranks below them stays.

    `service.retrieval.ranking.order_matches` does so with matches, some of which have no strips and keep
    their rank: here every candidate has a distance.

    Args:
        positions: `[..., G]` gallery positions, best first.
        distances: `[..., n]` of the first n; of equal ones the first stays first.
    """
    count = distances.shape[-1]
    places = np.argsort(distances, axis=-1, kind="stable")
    first = np.take_along_axis(positions[..., :count], places, axis=-1)
    return np.concatenate([first, positions[..., count:]], axis=-1)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Queries and how each of them ranks the gallery.

    Attributes:
        queries: features of the Q queries.
        gallery: features of the G gallery images; the queries themselves where each searches all others.
        positions: `[Q, G]` gallery positions, best first; `[Q, Q - 1]` where each query searches all others.

    Raises:
        ValueError: a row is no permutation of what its query searches.
    """

    queries: Features
    gallery: Features
    positions: Indices

    def __post_init__(self) -> None:
        count = len(self.gallery.images)
        searched = np.ones((len(self.queries.images), count), dtype=bool)
        if self.against_others:
            np.fill_diagonal(searched, val=False)
        wanted = (len(searched), count - self.against_others)
        if self.positions.shape != wanted:
            raise ValueError(f"a ranking of shape {self.positions.shape}, not {wanted}")
        valid = (self.positions >= 0) & (self.positions < count)
        ranked = np.zeros_like(searched)
        np.put_along_axis(ranked, np.where(valid, self.positions, 0), values=True, axis=1)
        wrong = ~valid.all(axis=1) | (ranked != searched).any(axis=1)
        if wrong.any():
            place = self.queries.images[int(wrong.argmax())].place()
            raise ValueError(f"{place}: its ranking is no permutation of the gallery that it searches")

    @property
    def against_others(self) -> bool:
        """Whether each query searches all others."""
        return self.queries is self.gallery

    def result(self) -> RetrievalResult:
        """Where the correct matches rank, without gallery images of the query's vehicle and camera."""
        vehicles = self.gallery.vehicles
        cameras = np.array([image.camera_or_own for image in self.gallery.images])
        found = []
        for positions, query in zip(self.positions, self.queries.images, strict=True):
            same = vehicles[positions] == query.vehicle_id
            kept = same[~(same & (cameras[positions] == query.camera_or_own))]
            found.append(np.flatnonzero(kept) + 1)
        names = np.array([str(image.path) for image in self.queries.images])
        return RetrievalResult(names, self.queries.vehicles, self.positions.shape[1], tuple(found))
