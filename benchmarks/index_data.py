"""Descriptors for the benchmark of index kinds: real ones, and as many as are wanted drawn around them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from models.bundle import DEFAULT_BUNDLE, Bundle
from models.preprocessing import prepare
from models.runtime import Models
from models.runtimes.forward import RuntimeOptions

Floats = NDArray[np.float32]

IMAGES_A_VEHICLE = 8
MIXED = 3
"""Real vehicles that a drawn one lies between."""


@dataclass(frozen=True, slots=True)
class Real:
    """Of real images: descriptors `[n, d]`, the vehicle of each, `[n]`, and strips `[n, s, w]` or None."""

    descriptors: Floats
    vehicles: NDArray[np.int64]
    strips: NDArray[np.float16] | None = None

    def some(self, most: int) -> Real:
        """Whole vehicles, evenly spread, of about so many images."""
        step = max(1, -(-len(self.vehicles) // most))
        chosen = np.isin(self.vehicles, np.unique(self.vehicles)[::step])
        strips = None if self.strips is None else self.strips[chosen]
        return Real(self.descriptors[chosen], self.vehicles[chosen], strips)

    def differences(self) -> Floats:
        """Between two images of one vehicle, `[m, d]`, each pair once, over the square root of 2."""
        found = []
        for vehicle in np.unique(self.vehicles):
            rows = self.descriptors[self.vehicles == vehicle]
            found += [(rows[a] - rows[b]) / np.sqrt(2) for a in range(len(rows)) for b in range(a)]
        return np.asarray(found, np.float32)


def real(manifests: list[Path], most: int, cache: Path) -> Real:
    """What the shipped bundle makes of up to `most` images of each CSV manifest; kept in `cache`."""
    if not cache.exists():
        models = Models.load(Bundle.load(DEFAULT_BUNDLE), "auto", RuntimeOptions(threads=1))
        descriptors, strips, vehicles = [], [], []
        for manifest in manifests:
            for row in track(_rows(manifest, most), f"embedding {manifest.parent.name}"):
                with Image.open(manifest.parent / row["path"]) as image:
                    one = prepare(image.convert("RGB"), models.embedder.input)
                found = models.embedder.embed(one[np.newaxis])
                descriptors.append(found.descriptors[0])
                strips += [] if found.strips is None else [found.strips[0]]
                vehicles.append(f"{manifest.parent.name}/{row['vehicle_id']}")
        _, numbers = np.unique(vehicles, return_inverse=True)
        with cache.open("wb") as file:  # NumPy gives a path without the suffix .npz one
            np.savez(
                file,
                descriptors=np.asarray(descriptors, np.float32),
                strips=np.asarray(strips, np.float16),
                vehicles=numbers,
            )
    with np.load(cache, allow_pickle=False) as kept:
        held, strips_of, vehicles_of = kept["descriptors"], kept["strips"], kept["vehicles"]
    return Real(
        unit(held.astype(np.float32)), vehicles_of.astype(np.int64), strips_of if len(strips_of) else None
    )


def _rows(manifest: Path, most: int) -> list[dict[str, str]]:
    """At most so many rows of a CSV manifest, of vehicles evenly spread over it, with all their images."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    vehicles = list(dict.fromkeys(row["vehicle_id"] for row in rows))
    chosen = set(vehicles[:: -(-len(rows) // most)])
    return [row for row in rows if row["vehicle_id"] in chosen][:most]


class Drawn:
    """Images of vehicles between real ones, as far from their vehicle as real images are from theirs.

    A vehicle is the mean of a few real images, weighted at random, moved away from the mean of all until it
    is as far from it as a real one; an image of it is off by a random sum of real differences between two
    images of a vehicle.
    """

    def __init__(self, of: Real, seed: int = 0) -> None:
        self._real = of
        self._mean = of.descriptors.mean(axis=0)
        self._differences = of.differences()
        self._length = float(np.linalg.norm(of.descriptors - self._mean, axis=1).mean())
        within = np.square(self._differences).sum(axis=1).mean()
        # What differs between vehicles: less than between images, which differ within a vehicle too.
        self._between = float(np.sqrt(max(self._length**2 - within, 1e-6)))
        self._seed = seed

    def images(self, vehicles: NDArray[np.int64], shot: int) -> Floats:
        """One image `[n, d]` of each of these vehicles; another one for another `shot`."""
        rows = []
        for vehicle in vehicles.tolist():
            random = np.random.default_rng((self._seed, vehicle))
            chosen = random.integers(0, len(self._real.descriptors), MIXED)
            centre = random.dirichlet(np.ones(MIXED)) @ self._real.descriptors[chosen] - self._mean
            centre *= self._between / np.linalg.norm(centre)
            random = np.random.default_rng((self._seed, vehicle, shot))
            pairs = random.integers(0, len(self._differences), MIXED)
            moved = random.standard_normal(MIXED) @ self._differences[pairs] / np.sqrt(MIXED)
            rows.append(self._mean + centre + moved)
        return unit(np.asarray(rows, np.float32))

    def gallery(self, count: int, chunk: int) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        """`count` images in pieces: the vehicle of each and its descriptor."""
        for start in range(0, count, chunk):
            numbers = np.arange(start, min(count, start + chunk))
            vehicles = numbers // IMAGES_A_VEHICLE
            shots = numbers % IMAGES_A_VEHICLE
            pieces = np.empty((len(numbers), self._mean.size), np.float32)
            for shot in range(IMAGES_A_VEHICLE):
                pieces[shots == shot] = self.images(vehicles[shots == shot], shot)
            yield vehicles, pieces

    def queries(self, count: int, number: int) -> tuple[NDArray[np.int64], Floats]:
        """`number` images of vehicles of a gallery of `count`, none of them in it."""
        vehicles = np.random.default_rng(self._seed).permutation(count // IMAGES_A_VEHICLE)[:number]
        return vehicles, self.images(vehicles, IMAGES_A_VEHICLE)


def unit(rows: Floats) -> Floats:
    """Rows of unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def character(descriptors: Floats, vehicles: NDArray[np.int64]) -> dict[str, float]:
    """What searching depends on: how spread is shared out over directions, and how near neighbours are."""
    centred = descriptors - descriptors.mean(axis=0)
    values = np.linalg.svd(centred @ centred.T, compute_uv=False, hermitian=True)
    shares = np.cumsum(values) / values.sum()
    similarities = descriptors @ descriptors.T
    np.fill_diagonal(similarities, -1)
    same = vehicles[:, np.newaxis] == vehicles
    np.fill_diagonal(same, False)
    other = np.where(same, -1, similarities)
    nearest = similarities.argmax(axis=1)
    has_same = same.any(axis=1)
    return {
        "spread in 16 directions": float(shares[15]),
        "spread in 64 directions": float(shares[63]),
        "spread in 256 directions": float(shares[min(255, len(shares) - 1)]),
        "similarity of one vehicle's": float(np.median(similarities[same])),
        "nearest other vehicle": float(np.median(other.max(axis=1))),
        "tenth nearest other vehicle": float(np.median(np.sort(other, axis=1)[:, -10])),
        "R1": float((vehicles[nearest] == vehicles)[has_same].mean()),
    }
