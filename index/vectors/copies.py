"""Similarities of many near ties, such as a thousand copies of one image: equal ones are summed once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PIECE = 8  # descriptors that are read or summed at a time; 512 KiB of float64 at d = 8192
KEPT = 200_000  # digests that are remembered; about 20 MB

Read = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def similarities(rows: NDArray[np.float32], probe: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine similarities [n] of rows [n, d] and a probe [d], all of unit length.

    FAISS and BLAS sum in an order that depends on the place of a row, so that equal descriptors get unequal
    scores; a sum along each row does not.
    """
    wide = rows.astype(np.float64)
    wide *= probe
    return np.asarray(wide.sum(axis=1))


class Copies:
    """Which descriptors of an index are equal, by 128-bit digests of their bytes.

    A digest is computed when its descriptor first is among many ties, and remembered. Any thread may ask.

    Args:
        read: gives the descriptors [n, d] under ids [n].
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._digests: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def forget(self, ids: NDArray[np.int64]) -> None:
        """These ids [n] are no longer in the index."""
        with self._lock:
            for record_id in ids.tolist():
                self._digests.pop(record_id, None)

    def similarities(self, ids: NDArray[np.int64], probe: NDArray[np.float32]) -> NDArray[np.float64]:
        """As `similarities`, of the descriptors under ids [n]."""
        _, first, group = np.unique(self._of(ids), return_index=True, return_inverse=True)
        distinct = ids[first]
        pieces = [
            similarities(self._read(distinct[start : start + PIECE]), probe)
            for start in range(0, len(distinct), PIECE)
        ]
        return np.concatenate(pieces)[group]

    def _of(self, ids: NDArray[np.int64]) -> NDArray[np.void]:
        """Digests [n] of the descriptors under ids [n]."""
        with self._lock:
            known = self._digests
            missing = np.array([each for each in ids.tolist() if each not in known], dtype=np.int64)
            if len(known) + len(missing) > KEPT:
                known.clear()
                missing = ids
            for start in range(0, len(missing), PIECE):
                piece = missing[start : start + PIECE]
                for record_id, row in zip(piece.tolist(), self._read(piece), strict=True):
                    known[record_id] = hashlib.blake2b(row.data, digest_size=16).digest()
            return np.frombuffer(b"".join(map(known.__getitem__, ids.tolist())), dtype="V16")
