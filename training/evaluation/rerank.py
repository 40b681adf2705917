"""The second stage in torch: its distances, and rankings re-ordered by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.reranker import CANDIDATES, StripReranker
from training.evaluation.ranking import reorder_first
from training.evaluation.result import Indices
from training.features.extract import Features

CHUNK = 32
"""Queries in one forward pass."""
Distances = Callable[[Any, Any, Any], NDArray[np.float32]]
"""Strips of probes `[B, s, w]` and candidates `[B, n, s, w]`, similarities `[B, n]` -> distances `[B, n]`."""


class SecondStage:
    """A second stage in torch as `training.evaluation` asks one, on the device that it is on.

    Args:
        model: takes what a `StripReranker` takes, and gives what it gives.
    """

    candidates = CANDIDATES

    def __init__(self, model: nn.Module) -> None:
        self._model = model.eval()
        self._device = next((each.device for each in model.parameters()), torch.device("cpu"))

    def distances(
        self,
        probes: NDArray[np.floating],
        candidates: NDArray[np.floating],
        similarities: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Distances `[B, n]` of probes `[B, s, w]` to candidates `[B, n, s, w]`."""
        given = (
            torch.from_numpy(np.asarray(each, dtype=np.float32)).to(self._device)
            for each in (probes, candidates, similarities)
        )
        with torch.inference_mode():
            found: NDArray[np.float32] = self._model(*given).cpu().numpy()
        return found


def rerank(
    model: StripReranker, queries: Features, gallery: Features, positions: Indices, length: int = CANDIDATES
) -> Indices:
    """Re-order the first `length` of rankings `[Q, n]` by the re-ranker's distances; see `rerank_by`."""
    return rerank_by(SecondStage(model).distances, queries, gallery, positions, length)


def rerank_by(
    second: Distances, queries: Features, gallery: Features, positions: Indices, length: int
) -> Indices:
    """Re-order the first `length` of rankings `[Q, n]` by a second stage in torch or ONNX Runtime.

    Raises:
        ValueError: features without strips.
    """
    if queries.strips is None or gallery.strips is None:
        raise ValueError("re-ranking needs strips")
    distances = []
    for start in range(0, len(positions), CHUNK):
        rows = slice(start, start + CHUNK)
        first = positions[rows, :length]
        similarities = np.einsum("qd,qnd->qn", queries.descriptors[rows], gallery.descriptors[first])
        distances.append(second(queries.strips[rows], gallery.strips[first], similarities))
    return reorder_first(positions, np.concatenate(distances))
