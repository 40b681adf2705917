"""The directions in which images of one vehicle differ, estimated from descriptors of training images.

Each vehicle's descriptors are taken about their mean: what is left is what camera, light, crop and view do to
them. Of that scatter the directions with the most of it are kept; taken out of every descriptor
(`models.projection`), they no longer tell two images of one vehicle apart. Within-class covariance
normalisation (Hatch et al. 2006) divides by the whole covariance instead, for which there are too few images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def deviations(descriptors: NDArray[np.float32], vehicles: Sequence[str]) -> NDArray[np.float64]:
    """Each descriptor less its vehicle's mean, `[n, d]`, so scaled that their products sum to the covariance.

    Args:
        descriptors: `[n, d]`.
        vehicles: of each; at least one has two descriptors.

    Raises:
        ValueError: no vehicle has two.
    """
    names, of = np.unique(np.asarray(vehicles), return_inverse=True)
    free = len(descriptors) - len(names)
    if free < 1:
        raise ValueError(
            f"{len(names):,} vehicles have one image each; nothing says how images of one differ"
        )
    sums = np.zeros((len(names), descriptors.shape[1]))
    np.add.at(sums, of, descriptors.astype(np.float64))
    left: NDArray[np.float64] = descriptors - (sums / np.bincount(of)[:, None])[of]
    found: NDArray[np.float64] = left / np.sqrt(free)
    return found


def directions(scatter: Sequence[NDArray[np.float64]], most: int, softness: float) -> NDArray[np.float32]:
    """The columns A `[d, r]` of a projection x - (x A) A^T.

    Args:
        scatter: `deviations` of each data set, which count alike.
        most: r at most; fewer where fewer images leave fewer.
        softness: 0 takes each direction out whole. Else one with the variance v keeps the share
            sqrt(t / (v + t)) of what lies in it, t being softness times the mean variance of all r.
    """
    rows = np.concatenate(list(scatter))
    # With n < d the eigenvectors of the small matrix of products give the same directions.
    values, vectors = np.linalg.eigh(rows @ rows.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = min(most, int((values > 1e-9 * values[0]).sum()))
    found = (rows.T @ vectors[:, :kept]) / np.sqrt(values[:kept])
    left = softness * values[:kept].mean()
    shares = 1 - np.sqrt(left / (values[:kept] + left))
    result: NDArray[np.float32] = (found * np.sqrt(shares)).astype(np.float32)
    return result
