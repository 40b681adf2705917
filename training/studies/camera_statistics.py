"""Cameras taken out of descriptors where little is known of one: R1 against descriptors as they are.

A gallery of one camera's images (of several, for rendered vehicles), all of whose statistics are known, is
searched by another camera's images. What is known of that one differs from case to case: some images of other
vehicles, one vehicle again and again, one type of vehicle, or nothing. No probe counts for the statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np
from numpy.typing import NDArray

from index.cameras.estimation import estimate
from index.cameras.normalisation import Normalisation
from index.cameras.sums import CameraSums, Sums
from training.datasets.image import VehicleImage
from training.evaluation.cameras import camera_sums
from training.evaluation.significance import Interval, bootstrap
from training.features.extract import Features

COUNTS = (1, 3, 10, 30, 100)
AGAIN = 30
DRAWS = 10
"""Of the images that a camera is known by; R1 is the mean over them."""

Rows = NDArray[np.intp]


class Known(StrEnum):
    """What is known of the probes' camera."""

    images = "images of other vehicles"
    one_vehicle = f"one image, {AGAIN} times"
    one_type = "images of the commonest type alone"
    other_types = "images of all other types"
    nothing = "nothing (no `camera_id`)"


@dataclass(frozen=True)
class Search:
    """Probes of one camera, what they search, and the images that their camera may be learned from.

    Attributes:
        name: of the camera.
        probes: rows of the store.
        gallery: rows of the store, of other cameras.
        learned_from: rows of the store, of the probes' camera and of other vehicles.
    """

    name: str
    probes: Rows
    gallery: Rows
    learned_from: Rows


@dataclass(frozen=True)
class Finding:
    """R1 in one case.

    Attributes:
        data: what was measured on.
        known: what was known of the probes' camera.
        count: how many images.
        queries: probes.
        plain: R1 by descriptors as they are, in percent.
        normalised: R1 by normalised ones, the mean over the draws.
        difference: points, with its 95 % interval over vehicles.
        drift: how far the camera's estimate is from that of all its images of other vehicles, as a gallery
            counts it; the mean over cameras and draws.
    """

    data: str
    known: Known
    count: str
    queries: int
    plain: float
    normalised: float
    difference: Interval
    drift: float


class Material:
    """Images of several cameras with their descriptors, each vehicle in one of two halves."""

    def __init__(self, parts: Sequence[Features], seed: int) -> None:
        self.store = np.concatenate([np.asarray(part.descriptors, dtype=np.float32) for part in parts])
        self.images: list[VehicleImage] = [image for part in parts for image in part.images]
        self.vehicles = np.array([image.vehicle_id for image in self.images])
        self.cameras = np.array([image.camera_id for image in self.images])
        self.types = np.array([image.vehicle_type or "" for image in self.images])
        names = np.unique(self.vehicles)
        halves = np.random.default_rng(seed).permutation(len(names)) % 2
        self._half = dict(zip(names.tolist(), halves.tolist(), strict=True))

    def searches(self, probe_cameras: Sequence[str], gallery_cameras: Sequence[str]) -> Iterator[Search]:
        """Each probe camera's vehicles, half by half, the other half to learn from; in the gallery all."""
        half = np.array([self._half[vehicle] for vehicle in self.vehicles])
        for camera, part in product(probe_cameras, (0, 1)):
            own = self.cameras == camera
            others = np.isin(self.cameras, [name for name in gallery_cameras if name != camera])
            yield Search(
                camera,
                np.flatnonzero(own & (half == part)),
                np.flatnonzero(others),
                np.flatnonzero(own & (half != part)),
            )


def measure(data: str, material: Material, searches: Sequence[Search], seed: int) -> list[Finding]:
    """R1 of all probes together, case by case."""
    random = np.random.default_rng(seed)
    plain = [_hits(material, search, None, None) for search in searches]
    vehicles = np.concatenate([material.vehicles[search.probes] for search in searches])
    known = [_known_of(material, search.gallery) for search in searches]
    findings = []
    for case, count in _cases(min(len(search.learned_from) for search in searches)):
        draws, sizes, drifts = [], [], []
        for _ in range(DRAWS):
            hits = []
            for search, of_others in zip(searches, known, strict=True):
                rows = _learned(material, search, case, count, random)
                sizes.append(len(rows))
                drifts.append(_drift(material, search, of_others, rows))
                hits.append(_hits(material, search, of_others, rows))
            draws.append(np.concatenate(hits))
        before, after = np.concatenate(plain), np.mean(draws, axis=0)
        findings.append(
            Finding(
                data,
                case,
                str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}",
                len(before),
                100 * float(before.mean()),
                100 * float(after.mean()),
                bootstrap(100 * (after - before), vehicles, seed=seed),
                float(np.mean(drifts)),
            )
        )
    return findings


def _cases(most: int) -> Iterator[tuple[Known, int]]:
    yield from ((Known.images, count) for count in COUNTS if count < most)
    yield Known.images, most
    yield from ((known, 0) for known in Known if known is not Known.images)


def _learned(
    material: Material, search: Search, case: Known, count: int, random: np.random.Generator
) -> Rows:
    rows = search.learned_from
    if case in (Known.images, Known.one_vehicle):
        drawn: Rows = random.choice(rows, 1 if case is Known.one_vehicle else count, replace=False)
        return drawn.repeat(AGAIN if case is Known.one_vehicle else 1)
    names, counts = np.unique(material.types[rows], return_counts=True)
    commonest: NDArray[np.bool_] = material.types[rows] == names[counts.argmax()]
    chosen = {Known.one_type: commonest, Known.other_types: ~commonest}.get(case)
    return rows[:0] if chosen is None else rows[np.flatnonzero(chosen)]


def _known_of(material: Material, rows: Rows) -> dict[str, CameraSums]:
    return dict(camera_sums(material.store[rows], material.cameras[rows].tolist()))


def _hits(
    material: Material, search: Search, known: dict[str, CameraSums] | None, learned: Rows | None
) -> NDArray[np.float64]:
    """Of each probe, whether its first match is of its vehicle."""
    probes, gallery = material.store[search.probes], material.store[search.gallery]
    if known is not None and learned is not None:
        normalisation = _normalisation(material, search.name, known, learned)
        probes = normalisation.apply(probes, [search.name] * len(probes))
        gallery = normalisation.apply(gallery, material.cameras[search.gallery].tolist())
    first = (probes @ gallery.T).argmax(axis=1)
    right: NDArray[np.bool_] = material.vehicles[search.gallery][first] == material.vehicles[search.probes]
    return right.astype(np.float64)


def _drift(material: Material, search: Search, known: dict[str, CameraSums], learned: Rows) -> float:
    used, best = (
        _normalisation(material, search.name, known, rows).estimate(search.name)
        for rows in (learned, search.learned_from)
    )
    return 0.0 if used is None or best is None else used.shift(best)


def _normalisation(
    material: Material, camera: str, known: dict[str, CameraSums], learned: Rows
) -> Normalisation:
    cameras = dict(known)
    if len(learned):
        nothing = Sums.nothing(material.store.shape[1])
        cameras[camera] = CameraSums(camera, nothing, Sums.of(material.store[learned]))
    estimates = estimate(cameras)
    if estimates is None:
        return Normalisation()
    return Normalisation(overall=estimates.overall, cameras=estimates.cameras)
