"""A loaded bundle as the service sees it; tests stand in for it without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from models.bundle import Bundle
from models.protocols import Embedder, Reranker


class Models(Protocol):
    """A bundle, loaded."""

    @property
    def bundle(self) -> Bundle:
        """Where they come from, and all that is known of them."""

    @property
    def runtime(self) -> str:
        """The name of the runtime in use."""

    @property
    def streams(self) -> int:
        """Batches that the embedder takes at the same time, each from a thread of its own."""

    @property
    def gpu_left_out(self) -> Mapping[str, str]:
        """What the runtime does without on its GPU, each with the reason."""

    @property
    def embedder(self) -> Embedder:
        """The first stage."""

    @property
    def reranker(self) -> Reranker | None:
        """The second stage, or None for a bundle without one."""
