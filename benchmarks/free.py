"""`lka-reid` with an embedder that costs nothing, so that all around it is measured.

python -m benchmarks.free serve|worker ...

Descriptors and strips have the shapes of the bundle's and differ from image to image; the second stage is the
bundle's own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.bundle import Bundle
from models.preprocessing import Pixels
from models.protocols import Reranker
from models.runtime import Embeddings, load_reranker
from service import resources
from service.cli import main
from service.settings import Settings

ROWS = 64


class FreeEmbedder:
    """Looks an image's descriptor and strips up in a table."""

    def __init__(self, bundle: Bundle) -> None:
        source = np.random.default_rng(0)
        dim, strips = bundle.manifest.descriptor_dim, bundle.manifest.strips
        rows = source.normal(size=(ROWS, dim)).astype(np.float32)
        self._rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self._strips = None if strips is None else source.normal(size=(ROWS, *strips)).astype(np.float16)

    def embed(self, images: Pixels) -> Embeddings:
        """Any prepared images `[B, 3, H, W]`."""
        keys = [zlib.crc32(image[:, ::16, ::16].tobytes()) for image in images]
        rows = [key % ROWS for key in keys]
        descriptors = np.stack([np.roll(self._rows[key % ROWS], key // ROWS % 8191) for key in keys])
        return Embeddings(descriptors, None if self._strips is None else self._strips[rows])


@dataclass(frozen=True)
class FreeModels:
    """A bundle whose embedder is free."""

    bundle: Bundle
    embedder: FreeEmbedder
    reranker: Reranker | None
    runtime: str = "cpu-free"
    streams: int = 1
    gpu_left_out: Mapping[str, str] = field(default_factory=dict)


def load_free(_settings: Settings, bundle: Bundle) -> FreeModels:
    """In place of `service.resources.load_models`."""
    return FreeModels(bundle, FreeEmbedder(bundle), load_reranker(bundle))


if __name__ == "__main__":
    resources.load_models = load_free  # type: ignore[assignment] # what serving needs of models
    main()
