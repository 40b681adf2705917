"""What both stages give, whatever runs them; tests stand in for them without weights."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.preprocessing import Pixels


class Embeddings(Protocol):
    """What an embedder answers for a batch of B images."""

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """`[B, d]`, L2-normalised."""

    @property
    def strips(self) -> NDArray[np.float16] | None:
        """`[B, s, w]`, or None where the bundle has no re-ranker."""


class Embedder(Protocol):
    """The first stage: images to descriptors and strips."""

    def embed(self, images: Pixels) -> Embeddings:
        """Embed prepared images `[B, 3, H, W]`."""


class Reranker(Protocol):
    """The second stage: strips of a probe and of its first candidates to distances."""

    @property
    def candidates(self) -> int:
        """How many candidates it takes at most."""

    def distances(
        self,
        probes: NDArray[np.float16],
        candidates: NDArray[np.float16],
        similarities: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Distances `[B, n]`, less is nearer, of probes `[B, s, w]` to their candidates `[B, n, s, w]`.

        `similarities` are the first stage's, `[B, n]`.
        """
