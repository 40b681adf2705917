"""Explanations made of numbers, without a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.explanation import Explanation
from models.inputspec import InputSpec
from models.manifest import EMBEDDER, FileEntry, Manifest
from service.explanation.figure import Pair

BRANCHES = ("L1", "L2", "H1", "H2")


def manifest(name: str = "small", *, width: int = 64, height: int = 64) -> Manifest:
    return Manifest(
        name=name,
        input=InputSpec(height=height, width=width),
        descriptor_dim=8,
        network={},
        files={EMBEDDER: FileEntry(sha256="0" * 64, bytes=1)},
    )


def explanation(
    *,
    bands: int = 4,
    branches: tuple[str, ...] = BRANCHES,
    columns: tuple[str, ...] | None = None,
    sharpness: float = 1.0,
    seed: int = 0,
) -> Explanation:
    """Random numbers of the right shapes; a sharpness of 0 is even attention, no columns are the branches."""
    source = np.random.default_rng(seed)
    columns = columns or branches
    count = len(branches)
    strips = len(columns) * bands

    def attention() -> NDArray[np.float32]:
        scores = np.exp(sharpness * source.normal(size=(2, strips, strips)))
        weights: NDArray[np.float32] = (scores / scores.sum(axis=2, keepdims=True)).astype(np.float32)
        return weights

    return Explanation(
        similarity=0.75,
        fusion=2.0,
        branches=branches,
        columns=columns,
        strip_distances=source.uniform(0.2, 1.2, (len(columns), bands)).astype(np.float32),
        probe_attention=attention(),
        candidate_attention=attention(),
        probe_activations=source.uniform(size=(count, 5, 5)).astype(np.float32),
        candidate_activations=source.uniform(size=(count, 5, 5)).astype(np.float32),
    )


def pair(
    probe: tuple[int, int, int] = (200, 30, 30), candidate: tuple[int, int, int] = (30, 200, 30)
) -> Pair:
    return Pair(Image.new("RGB", (90, 70), probe), Image.new("RGB", (60, 80), candidate), "a.jpg", "b.jpg")
