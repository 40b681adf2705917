"""Why two images are near or far: the numbers of an explanation, and what a bundle needs to give them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, BundleError

Floats = NDArray[np.float32]
Direction = Literal["probe", "candidate"]
CameraUse = Literal["known", "global", "off"]


class NotExplainableError(BundleError):
    """A bundle without what an explanation needs; `reason` says so without a path.

    Args:
        bundle: which.
        reason: what is missing and the remedy, after the bundle's name.
    """

    def __init__(self, bundle: Bundle, reason: str) -> None:
        super().__init__(f"{bundle.path}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Explanation:
    """What the two stages make of a probe and a candidate.

    A strip is one band of one branch's map; where the second stage compares parts, one band of one column of
    the trunk's map.

    Attributes:
        similarity: cosine of the descriptors, the first stage's.
        fusion: weight of 1 - similarity in the second stage's distance.
        branches: names, such as L1, L2, H1, H2.
        columns: names of what is cut into bands: the branches, or the columns of the grid of parts.
        strip_distances: `[columns, bands]`, bands from top to bottom.
        probe_attention: `[heads, s, s]`, of the probe's strips (rows, which sum to 1) over the candidate's;
            strips column by column.
        candidate_attention: `[heads, s, s]`, the other way round.
        probe_activations: `[branches, h, w]`, mean over the channels of each branch's last map.
        candidate_activations: the same of the candidate.
        camera: what was taken out of the descriptors before they were compared: what is `known` of the
            probe's camera, the `global` mean of all cameras, or nothing (`off`).
    """

    similarity: float
    fusion: float
    branches: tuple[str, ...]
    columns: tuple[str, ...]
    strip_distances: Floats
    probe_attention: Floats
    candidate_attention: Floats
    probe_activations: Floats
    candidate_activations: Floats
    camera: CameraUse = "off"

    @property
    def bands(self) -> int:
        """Bands that each map is cut in."""
        return int(self.strip_distances.shape[1])

    @property
    def strips_part(self) -> float:
        """The strips' part of the distance: the mean of `strip_distances`."""
        return float(self.strip_distances.mean(dtype=np.float64))

    @property
    def similarity_part(self) -> float:
        """The first stage's part of the distance."""
        return self.fusion * (1 - self.similarity)

    @property
    def distance(self) -> float:
        """The second stage's distance, less is nearer."""
        return self.strips_part + self.similarity_part

    def attention(self, of: Direction) -> Floats:
        """Mean over the heads of one image's attention over the other's strips: `[s, s]`, rows sum to 1."""
        heads = self.probe_attention if of == "probe" else self.candidate_attention
        mean: Floats = heads.mean(axis=0)
        return mean

    def band_attention(self, of: Direction) -> Floats:
        """From band to band, all columns together: `[bands, bands]`, rows sum to 1, uniform is 1 / bands."""
        count, bands = self.strip_distances.shape
        whole: Floats = self.attention(of).reshape(count, bands, count, bands).sum(axis=2).mean(axis=0)
        return whole


def check_explainable(bundle: Bundle) -> Path:
    """The path of the bundle's explainer, once it is known to have every part.

    Raises:
        NotExplainableError: it lacks one.
    """
    if bundle.manifest.reranker is None:
        raise NotExplainableError(
            bundle,
            "has no re-ranker, whose attention an explanation shows; choose a bundle with a second stage",
        )
    if bundle.explainer is None or bundle.manifest.activations is None:
        raise NotExplainableError(
            bundle,
            "was exported without the parts that explain a match (explainer.onnx and the embedder's "
            "activations); export it again with `lka-reid export`",
        )
    return bundle.explainer
