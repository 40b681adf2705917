"""An explanation as it goes over the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from models.explanation import Explanation
from models.manifest import Manifest
from service.api.query_answers import NormalisationUsed

Matrix = list[list[float]]
DIGITS = 6


class BothWays(BaseModel):
    """Attention of each image's strips over the other's, the mean over the heads; strips branch by branch."""

    probe: Matrix = Field(description="rows: the probe's strips, which look; columns: the candidate's")
    candidate: Matrix = Field(description="rows: the candidate's strips, which look; columns: the probe's")


class Activations(BaseModel):
    """Where each branch responds: the mean over the channels of its last map, row by row."""

    probe: list[Matrix]
    candidate: list[Matrix]


class ExplanationAnswer(BaseModel):
    """Why a probe and a candidate are near or far. A strip is one band of one branch's map."""

    bundle: str = Field(description="the model bundle's name")
    fingerprint: str = Field(description="the model bundle's fingerprint")
    similarity: float = Field(description="cosine of the two descriptors, as `normalisation` says; 1 at best")
    is_match: bool | None = Field(
        description="whether the similarity reaches the bundle's threshold; null for a bundle without one, "
        "and where it has none for what `normalisation` says"
    )
    rerank_distance: float = Field(
        description="the second stage's distance, less is nearer: `strips_part` + `similarity_part`"
    )
    strips_part: float = Field(description="mean of `strip_distances`")
    similarity_part: float = Field(description="1 - similarity, with the re-ranker's weight for it")
    branches: list[str] = Field(description="names of the branches, such as L1, L2, H1, H2")
    bands: int = Field(description="bands of each branch, from top to bottom")
    strip_distances: Matrix = Field(description="a row for each branch, a number for each band")
    attention: BothWays
    activations: Activations
    normalisation: NormalisationUsed | None = Field(
        default=None,
        exclude_if=lambda used: used is None,
        description="absent where `LKA_REID_CAMERA_NORMALISATION` is `off` and descriptors were compared as "
        "they are",
    )

    @classmethod
    def of(
        cls, explanation: Explanation, manifest: Manifest, normalisation: NormalisationUsed | None = None
    ) -> ExplanationAnswer:
        """The answer; numbers are rounded to six decimals."""
        threshold = manifest.threshold_for(explanation.camera)
        return cls(
            bundle=manifest.name,
            fingerprint=manifest.fingerprint(),
            similarity=explanation.similarity,
            is_match=None if threshold is None else explanation.similarity >= threshold.similarity,
            rerank_distance=explanation.distance,
            strips_part=explanation.strips_part,
            similarity_part=explanation.similarity_part,
            branches=list(explanation.branches),
            bands=explanation.bands,
            strip_distances=_rounded(explanation.strip_distances),
            attention=BothWays(
                probe=_rounded(explanation.attention("probe")),
                candidate=_rounded(explanation.attention("candidate")),
            ),
            activations=Activations(
                probe=_rounded(explanation.probe_activations),
                candidate=_rounded(explanation.candidate_activations),
            ),
            normalisation=normalisation,
        )


def _rounded(numbers: NDArray[Any]) -> Any:
    return np.round(numbers.astype(np.float64), DIGITS).tolist()
