"""Re-ordering the first of a ranking by a re-ranker in torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.reranker import StripReranker
from training.features.extract import Features


def rerank(
    model: StripReranker, queries: Features, gallery: Features, ranking: NDArray[np.integer], length: int
) -> NDArray[np.intp]:
    """Re-order the first `length` of a ranking `[Q, G]` by the re-ranker's distances; the tail stays.

    Raises:
        ValueError: features without strips.
    """
    if queries.strips is None or gallery.strips is None:
        raise ValueError("re-ranking needs strips")
    out = np.array(ranking, dtype=np.intp)
    length = min(length, ranking.shape[1])
    device = next(model.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(out), 32):
            rows = slice(start, start + 32)
            first = out[rows, :length]
            similarities = np.einsum("qd,qnd->qn", queries.descriptors[rows], gallery.descriptors[first])
            given = (queries.strips[rows], gallery.strips[first], similarities)
            placed = (torch.from_numpy(np.asarray(each, dtype=np.float32)).to(device) for each in given)
            order = np.argsort(model(*placed).cpu().numpy(), axis=1, kind="stable")
            out[rows, :length] = np.take_along_axis(first, order, axis=1)
    return out
