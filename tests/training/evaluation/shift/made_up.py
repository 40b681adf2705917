"""Features of made-up images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.datasets.image import VehicleImage
from training.features.extract import Features


def features(
    vehicles: list[str], camera: str, descriptors: np.ndarray, strips: np.ndarray | None = None
) -> Features:
    """One image of each vehicle before a camera."""
    images = [VehicleImage(Path(f"{v}-{camera}-{n}.jpg"), v, camera) for n, v in enumerate(vehicles)]
    rows = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Features(images, rows.astype(np.float32), strips)


def biased(vehicles: int, noise: float, seed: int = 0) -> tuple[Features, Features]:
    """Vehicles before two cameras, each of which adds a vector and stretches numbers of its own."""
    source = np.random.default_rng(seed)
    own = source.normal(size=(vehicles, 16))
    names = [f"v{number:03}" for number in range(vehicles)]
    sides = []
    for camera in ("c1", "c2"):
        stretch, shift = source.uniform(0.2, 3, 16), source.normal(0, 2, 16)
        seen = (own + source.normal(0, noise, own.shape)) * stretch + shift
        sides.append(features(names, camera, seen))
    return sides[0], sides[1]
