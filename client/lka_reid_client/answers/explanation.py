"""Why a probe and a candidate are near or far."""

from __future__ import annotations

from lka_reid_client.answers.base import Answer
from lka_reid_client.answers.search import NormalisationUsed


class BothWays(Answer):
    """Attention of each image's strips over the other's, the mean over the heads; strips branch by
    branch.

    Attributes:
        probe: rows: the probe's strips, which look; columns: the candidate's.
        candidate: rows: the candidate's strips, which look; columns: the probe's.
    """

    probe: list[list[float]]
    candidate: list[list[float]]


class Activations(Answer):
    """Where each branch responds: the mean over the channels of its last map, row by row."""

    probe: list[list[list[float]]]
    candidate: list[list[list[float]]]


class ExplanationAnswer(Answer):
    """Why a probe and a candidate are near or far. A strip is one band of one branch's map.

    Attributes:
        bundle: the model bundle's name.
        fingerprint: the model bundle's fingerprint.
        similarity: cosine of the two descriptors, as `normalisation` says; 1 at best.
        is_match: whether the similarity reaches the bundle's threshold; null for a bundle without one,
            and where it has none for what `normalisation` says.
        rerank_distance: the second stage's distance, less is nearer: `strips_part` + `similarity_part`.
        strips_part: mean of `strip_distances`.
        similarity_part: 1 - similarity, with the re-ranker's weight for it.
        branches: names of the branches, such as L1, L2, H1, H2.
        bands: bands of each branch, from top to bottom.
        strip_distances: a row for each branch, a number for each band.
        normalisation: absent where `LKA_REID_CAMERA_NORMALISATION` is `off` and descriptors were compared as
            they are.
    """

    bundle: str
    fingerprint: str
    similarity: float
    is_match: bool | None
    rerank_distance: float
    strips_part: float
    similarity_part: float
    branches: list[str]
    bands: int
    strip_distances: list[list[float]]
    attention: BothWays
    activations: Activations
    normalisation: NormalisationUsed | None = None
