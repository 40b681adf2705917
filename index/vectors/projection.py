"""The directions in which vectors differ most, learned from a sample: short vectors that keep inner products.

The best linear way to `width` numbers in the mean square of what is lost: the first right singular vectors of
the sample, found by a randomised range finder (Halko, Martinsson, Tropp: Finding structure with randomness,
2011, algorithms 4.4 and 5.1), since a decomposition of 8192 x 8192 would take minutes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

OVERSAMPLED: Final = 32
"""Directions that are looked for beyond those that are kept."""
PASSES: Final = 2
"""Over the sample; each makes the found directions those of the largest values more surely."""


def learn(sample: NDArray[np.float32], width: int, seed: int = 0) -> NDArray[np.float32]:
    """Orthonormal directions `[min(width, d, n), d]` for vectors like the sample `[n, d]`.

    The vectors are not centred: it is their inner product with a probe that is to stay.
    """
    count, dim = sample.shape
    width = min(width, dim, count)
    if width == dim:
        return np.eye(dim, dtype=np.float32)
    random = np.random.default_rng(seed)
    looked = min(width + OVERSAMPLED, dim, count)
    span = sample @ random.standard_normal((dim, looked), dtype=np.float32)
    for _ in range(PASSES):
        span = sample @ (sample.T @ np.linalg.qr(span)[0])
    basis = np.linalg.qr(span)[0]
    _, _, directions = np.linalg.svd(basis.T @ sample, full_matrices=False)
    return np.ascontiguousarray(directions[:width], dtype=np.float32)


def turned(directions: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Other orthonormal directions `[width, d]` of the same span, turned at random within it."""
    width = len(directions)
    rotation, signs = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))
    rotation *= np.sign(np.diag(signs))
    return np.ascontiguousarray(rotation.astype(np.float32) @ directions)


def kept(sample: NDArray[np.float32], directions: NDArray[np.float32]) -> float:
    """Share of the sample's mean square length that the directions keep: 1 at best."""
    return float(np.square(sample @ directions.T).sum() / np.square(sample).sum())
