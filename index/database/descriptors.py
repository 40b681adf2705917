"""Descriptors as they are stored: float16, and of unit length when they are read.

A number is off by at most 2^-11 of itself (2^-25, where it is below 2^-14), and a descriptor's direction by
no more. Everything that a gallery derives from a descriptor (its camera's sums, its vector, its similarity to
a probe) comes from what is stored, so that it is the same on the day of the enrollment, after a restart and
when the image is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ITEM_BYTES = 2
"""Of a stored number."""


def pack(descriptors: NDArray[np.float32]) -> NDArray[np.float16]:
    """Descriptors `[n, d]` or `[d]` as they are stored, little-endian."""
    return descriptors.astype("<f2")


def unpack(stored: NDArray[np.float16]) -> NDArray[np.float32]:
    """Stored descriptors `[n, d]`, of unit length again.

    A row comes out the same to the last bit whatever rows are beside it. One of length 0 stays at 0.
    """
    wide = stored.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def unpack_bytes(stored: Sequence[bytes]) -> NDArray[np.float32]:
    """Descriptors `[n, d]` of what `pack` gave of each, as bytes; `[0, 0]` of none."""
    if not stored:
        return np.empty((0, 0), np.float32)
    return unpack(np.frombuffer(b"".join(stored), dtype="<f2").reshape(len(stored), -1))


def as_stored(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What will be read of descriptors `[n, d]` when they are stored."""
    return unpack(pack(descriptors))
