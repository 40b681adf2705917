"""What may be done to descriptors before ranking: each gives a row of its own, never the plain one.

None of it looks at a label that a deployment does not have; centring and expansion need cameras.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.flip import mean_direction
from training.evaluation.result import Indices
from training.evaluation.retrieval import WORKSPACE, Change, Floats, Side, similarity_chunks

EXPANSION = 5
ALPHA = 3.0
SMALLEST = 1e-12


def normalised(descriptors: Floats) -> Floats:
    """Rows `[n, d]` brought to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return np.asarray(descriptors / np.maximum(lengths, SMALLEST), dtype=np.float32)


def centring(store: NDArray[np.floating], cameras: NDArray[np.str_], block: int = 4096) -> Change:
    """Camera-aware centring: take each camera's mean descriptor out, then normalise again.

    The means are over all images of the store; no vehicle is looked at.

    Args:
        store: `[M, d]`, read block by block.
        cameras: `[M]`, the camera of each image.
        block: rows at a time.
    """
    names, codes = np.unique(cameras, return_inverse=True)
    sums = np.zeros((len(names), store.shape[1]), dtype=np.float64)
    for start in range(0, len(store), block):
        part = np.asarray(store[start : start + block], dtype=np.float32)
        own = codes[start : start + block]
        for code in np.unique(own):
            sums[code] += part[own == code].sum(axis=0, dtype=np.float64)
    means = (sums / np.bincount(codes)[:, None]).astype(np.float32)

    def change(descriptors: Floats, rows: Indices) -> Floats:
        descriptors -= means[codes[rows]]
        return normalised(descriptors)

    return change


def expanded(
    queries: Side,
    gallery: Side,
    *,
    neighbours: int = EXPANSION,
    alpha: float = ALPHA,
    workspace: int = WORKSPACE,
    report: Callable[[int], None] = lambda _: None,
) -> Side:
    """Alpha query expansion: each query becomes the weighted mean of itself and its nearest.

    The nearest come from other cameras: those of its own hold the query itself and its own passage. A
    neighbour's weight is its similarity to the power of alpha (Radenovic et al., Fine-tuning CNN Image
    Retrieval with No Human Annotation, section 3.3).

    Args:
        queries: Q of them.
        gallery: G images.
        neighbours: how many take part.
        alpha: 0 weighs them all alike.
        workspace: bytes to work in besides the descriptors.
        report: called with the number of queries done.

    Returns:
        The queries with descriptors of their own, stored as precisely as before.
    """
    changed = np.empty((len(queries), queries.store.shape[1]), dtype=queries.store.dtype)
    for start, chunk in similarity_chunks(queries, gallery, workspace):
        probes = queries.block(start, start + len(chunk))
        for offset, row in enumerate(chunk):
            row[gallery.cameras == queries.cameras[start + offset]] = -np.inf
            count = min(neighbours, len(row))
            nearest = np.argpartition(-row, count - 1)[:count]
            nearest = nearest[row[nearest] > 0]
            weights = row[nearest] ** np.float32(alpha)
            probes[offset] += sum(
                (w * gallery.block(p, p + 1)[0] for p, w in zip(nearest.tolist(), weights, strict=True)),
                np.zeros(probes.shape[1], dtype=np.float32),
            )
        changed[start : start + len(chunk)] = normalised(probes)
        report(start + len(chunk))
    return Side(changed, np.arange(len(queries)), queries.vehicles, queries.cameras)


def add_flipped(store: NDArray[np.floating], rows: slice, flipped: Floats) -> None:
    """Flip test-time augmentation, in place: the normalised sum of an image's and its mirror image's."""
    store[rows] = mean_direction(store[rows], flipped)
