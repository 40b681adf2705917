"""Kinds of index, small enough for tests, and descriptors to hold in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index import LocalGallery
from index.database.descriptors import as_stored
from index.vectors.kind import IndexSetup
from tests.index.samples import enrollment

DIM = 96
VEHICLES = 40
IMAGES = 300
LEAST_RECALL = 0.97

Vector = NDArray[np.float32]

SETUPS: dict[str, IndexSetup] = {
    "flat": IndexSetup(kind="flat"),
    "flat16": IndexSetup(kind="flat16"),
    "compressed": IndexSetup(kind="compressed", train_from=50, width=32, recent=20, rescored=60),
    "signs": IndexSetup(kind="compressed", train_from=50, width=64, recent=20, rescored=60, signed_from=50),
    "lists": IndexSetup(kind="compressed", train_from=50, width=32, recent=20, rescored=60, ivf_from=100),
    "hnsw": IndexSetup(kind="hnsw", train_from=50, width=32, recent=20, rescored=60),
}


def drawn(count: int, seed: int) -> Vector:
    """Descriptors of a few vehicles, many images each: as alike as those of an embedder."""
    random = np.random.default_rng(1)
    vehicles = random.standard_normal((VEHICLES, DIM)) * np.linspace(3, 0.2, DIM)
    random = np.random.default_rng(seed)
    images = vehicles[random.integers(0, VEHICLES, count)] + 0.5 * random.standard_normal((count, DIM))
    return np.asarray(images / np.linalg.norm(images, axis=1, keepdims=True), np.float32)


def keep_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let signs leave so few rows that a small gallery is searched by them."""
    for constant, value in {"KEPT_A_ROW": 2, "WORTH": 1}.items():
        monkeypatch.setattr(f"index.vectors.signs.{constant}", value)


def enroll(gallery: LocalGallery, descriptors: Vector, first: int = 0, **changes: Any) -> None:
    gallery.enroll_many(
        [
            enrollment(f"{first + number}", descriptor=descriptor, strips=None, **changes)
            for number, descriptor in enumerate(descriptors)
        ]
    )


def best(descriptors: dict[str, Vector], probe: Vector, k: int) -> list[str]:
    """The names of the k most similar, of equal ones the first; by what is stored of them."""
    stored = as_stored(np.stack(list(descriptors.values())))
    similarities = (stored.astype(np.float64) * probe).sum(axis=1)
    return [list(descriptors)[row] for row in np.argsort(-similarities, kind="stable")[:k]]


def found(gallery: LocalGallery, probe: Vector, k: int, **options: Any) -> list[str]:
    [matches] = gallery.search(probe[np.newaxis], k, **options)
    return [match.record.image_id for match in matches]


def named(descriptors: Vector, first: int = 0) -> dict[str, Vector]:
    return {f"{first + number}": descriptor for number, descriptor in enumerate(descriptors)}


def recall(gallery: LocalGallery, held: dict[str, Vector], probes: Vector, k: int = 10) -> float:
    """Share of the k nearest that are found, of each probe in the mean."""
    shares = [len(set(found(gallery, one, k)) & set(best(held, one, k))) / k for one in probes]
    return float(np.mean(shares))
