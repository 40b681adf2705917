"""One trial: images, who searches whom, and the rankings by each stage, with and without cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.protocols import Reranker
from training.evaluation.cameras import normalisation_of, without_cameras
from training.evaluation.protocol import second_stage
from training.evaluation.result import Indices, RetrievalResult
from training.evaluation.retrieval import Side, retrieve
from training.features.extract import Features


class Variant(StrEnum):
    """What ranks: the first stage or both, on descriptors as they are or with their cameras taken out.

    Cameras are taken out as a gallery with these images does it.
    """

    first = "first stage"
    normalised = "first stage, cameras normalised"
    both = "both stages"
    both_normalised = "both stages, cameras normalised"

    @property
    def takes_cameras_out(self) -> bool:
        """Whether each camera's mean and deviation are taken out of its descriptors."""
        return self in (Variant.normalised, Variant.both_normalised)

    @property
    def reranks(self) -> bool:
        """Whether the second stage re-orders the first candidates."""
        return self in (Variant.both, Variant.both_normalised)

    @property
    def against(self) -> Variant | None:
        """What it is compared with, query by query: the same without what it adds last."""
        return {
            Variant.first: None,
            Variant.normalised: Variant.first,
            Variant.both: Variant.first,
            Variant.both_normalised: Variant.normalised,
        }[self]


Results = dict[Variant, RetrievalResult]


@dataclass(frozen=True, eq=False)
class Trial:
    """Images and the searches among them.

    Attributes:
        name: distinguishes its queries from those of other trials.
        parts: the images, `N` in all; they count through in this order.
        searches: (queries, gallery) as positions among the N. A gallery image of the query's vehicle from
            the query's camera is left out, so a query may lie in the gallery.
        known: how many of the parts, from the first, the cameras' statistics are made of; None for all.
            Queries that a camera did not take itself stay out of its statistics.
    """

    name: str
    parts: Sequence[Features]
    searches: Sequence[tuple[Indices, Indices]]
    known: int | None = None

    def measure(self, reranker: Reranker | None) -> Results:
        """All variants that apply: those with cameras where every camera is known, both stages with strips.

        Args:
            reranker: the second stage, or None.

        Raises:
            ValueError: a descriptor is not finite.
        """
        store = np.concatenate([np.asarray(part.descriptors, dtype=np.float32) for part in self.parts])
        images = [image for part in self.parts for image in part.images]
        strips = [part.strips for part in self.parts if part.strips is not None]
        tokens = np.concatenate(strips) if reranker is not None and len(strips) == len(self.parts) else None
        whole = Side(
            store,
            np.arange(len(images)),
            np.array([image.vehicle_id for image in images]),
            np.array([image.camera_or_own for image in images]),
        )
        sides = {False: whole}
        if all(image.camera_id for image in images):
            known = sum(len(part.images) for part in self.parts[: self.known])
            cameras = [image.camera_id for image in images[:known]]
            normalisation = normalisation_of(store[:known], cameras, always=True)
            sides[True] = without_cameras(whole, images, normalisation)
        return {
            variant: self._result(
                sides[variant.takes_cameras_out], *((tokens, reranker) if variant.reranks else (None, None))
            )
            for variant in Variant
            if variant.takes_cameras_out in sides and (tokens is not None or not variant.reranks)
        }

    def _result(
        self, whole: Side, strips: NDArray[np.floating] | None, reranker: Reranker | None
    ) -> RetrievalResult:
        found = []
        for number, (asking, searched) in enumerate(self.searches):
            queries, gallery = (
                replace(
                    whole,
                    rows=whole.rows[positions],
                    vehicles=whole.vehicles[positions],
                    cameras=whole.cameras[positions],
                )
                for positions in (asking, searched)
            )
            distances, candidates = None, 0
            if strips is not None and reranker is not None:
                distances = second_stage(reranker, strips, queries, gallery)
                candidates = reranker.candidates
            result = retrieve(queries, gallery, distances=distances, candidates=candidates)
            names = np.array([f"{self.name}/{number}/{row}" for row in queries.rows])
            found.append(replace(result, queries=names))
        return RetrievalResult.pooled(found)
