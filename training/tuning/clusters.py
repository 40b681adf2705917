"""Clusters of crops in the place of vehicles: pseudo-labels to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.datasets.image import DatasetError, VehicleImage
from training.tuning.tracks import Track, at_once, track_of

FEWEST = 4
"""Clusters to learn from."""
MOST = 6000
"""Crops and tracks that are clustered at a time: their distances take 8 bytes a pair."""
APART = 2.0
"""Cosine distance of what cannot be one vehicle: the largest there is."""


@dataclass(frozen=True)
class Clusters:
    """What clustering has come to.

    Attributes:
        images: those in a cluster, which is their `vehicle_id`.
        of: crops in all.
        clusters: of them.
        across: clusters that two cameras have seen.
        tracks: known ones.
        apart: pairs of tracks that cannot be of one vehicle.
    """

    images: list[VehicleImage]
    of: int
    clusters: int
    across: int
    tracks: int
    apart: int


def cluster(descriptors: NDArray[np.floating], images: Sequence[VehicleImage]) -> Clusters:
    """Take crops that lie close together for images of one vehicle.

    HDBSCAN (Campello et al. 2013) on cosine distances, which needs no number of vehicles and no threshold. A
    track is one point, the mean of its crops: they stay together. Two tracks at once before one camera stay
    apart.

    Args:
        descriptors: `[N, d]` of the crops, L2-normalised, cameras taken out.
        images: the N crops.

    Raises:
        DatasetError: too few clusters, or more crops and tracks than can be clustered.
    """
    from sklearn.cluster import HDBSCAN

    points, of = _points(images)
    if len(points) > MOST:
        raise DatasetError(
            f"{len(points):,} crops and tracks are too many to cluster at a time; set --images to {MOST:,}"
        )
    means = _means(descriptors, of, len(points))
    distances = np.clip(1 - means @ means.T, 0, APART).astype(np.float64)
    np.fill_diagonal(distances, 0)
    pairs = at_once(images)
    place = {track: number for number, track in enumerate(points) if isinstance(track, tuple)}
    forbidden = [(place[one], place[other]) for one, other in map(tuple, pairs)]
    for one, other in forbidden:
        distances[one, other] = distances[other, one] = APART
    labels = np.full(len(points), -1)
    if len(points) > 1:
        labels = HDBSCAN(
            min_cluster_size=2,
            min_samples=1,
            metric="precomputed",
            copy=True,
        ).fit_predict(distances)
    _separate(labels, distances, forbidden)
    of_image = _with_lone_tracks(labels, of)
    kept = [
        replace(image, vehicle_id=f"cluster-{label:05}")
        for image, label in zip(images, of_image, strict=True)
        if label >= 0
    ]
    cameras: dict[str, set[str]] = {}
    for image in kept:
        cameras.setdefault(image.vehicle_id, set()).add(image.camera_id)
    if len(cameras) < FEWEST:
        raise DatasetError(
            f"{len(images):,} crops make {len(cameras)} clusters of two or more, and it takes {FEWEST} to "
            "learn from; give more crops, in which vehicles are seen more than once"
        )
    across = sum(len(seen) > 1 for seen in cameras.values())
    return Clusters(kept, len(images), len(cameras), across, len(place), len(pairs))


def _points(images: Sequence[VehicleImage]) -> tuple[list[Track | int], NDArray[np.intp]]:
    """What is clustered, tracks and crops without one, and of each image which of them it belongs to."""
    numbers: dict[Track | int, int] = {}
    of = [
        numbers.setdefault(track_of(image) or position, len(numbers)) for position, image in enumerate(images)
    ]
    return list(numbers), np.array(of, dtype=np.intp)


def _means(descriptors: NDArray[np.floating], of: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    sums = np.zeros((count, descriptors.shape[1]), dtype=np.float32)
    np.add.at(sums, of, descriptors.astype(np.float32))
    found: NDArray[np.float32] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return found


def _separate(
    labels: NDArray[np.intp], distances: NDArray[np.float64], forbidden: Sequence[tuple[int, int]]
) -> None:
    """Take out of a cluster, in place, what cannot be of its vehicle: the one farther from the rest."""
    for pair in sorted(forbidden):
        one, other = pair
        if labels[one] < 0 or labels[one] != labels[other]:
            continue
        rest = np.flatnonzero(labels == labels[one])
        rest = rest[(rest != one) & (rest != other)]
        far = max(pair, key=lambda point: float(distances[point, rest].mean()) if len(rest) else point)
        labels[far] = -1


def _with_lone_tracks(labels: NDArray[np.intp], of: NDArray[np.intp]) -> NDArray[np.intp]:
    """The cluster of each image; a track of several crops is one, also where it is like no other."""
    sizes = Counter(of.tolist())
    found = labels.copy()
    following = int(labels.max(initial=-1)) + 1
    for point in np.flatnonzero(labels < 0):
        if sizes[int(point)] > 1:
            found[point] = following
            following += 1
    of_image: NDArray[np.intp] = found[of]
    counts = Counter(of_image.tolist())
    lone = [label for label, count in counts.items() if count < 2]
    of_image[np.isin(of_image, lone)] = -1
    return of_image
