"""What an index kind leaves of the two-stage answer, on real images with their strips."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.index_data import Floats, Real
from index import Enrollment, IndexSetup, Kind, LocalGallery
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.protocols import Reranker
from models.runtime import Models
from models.runtimes.forward import RuntimeOptions
from service.retrieval.ranking import order_matches

CANDIDATES = 10
"""That the second stage re-orders."""


def right_answers(of: Real, kind: Kind) -> tuple[float, float, int, int]:
    """Shares of queries whose first match is right, after the first stage and after both; images and queries.

    Each vehicle's first image is a query and the others are the gallery.

    Raises:
        ValueError: the images come without strips.
    """
    if of.strips is None:
        raise ValueError("the second stage needs strips, and these images have none")
    reranker = Models.load(Bundle.load(DEFAULT_BUNDLE), "auto", RuntimeOptions(threads=1)).reranker
    if reranker is None:
        raise ValueError("the default bundle has no re-ranker")
    _, probes = np.unique(of.vehicles, return_index=True)
    held = np.setdiff1d(np.arange(len(of.vehicles)), probes)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalGallery.open(
            Path(folder),
            fingerprint="f",
            descriptor_dim=of.descriptors.shape[1],
            strips_shape=(of.strips.shape[1], of.strips.shape[2]),
            snapshot_every=10**9,
            index=IndexSetup(kind=kind, train_from=500, compressed_from=500),
        ) as gallery,
    ):
        for start in range(0, len(held), 200):
            gallery.enroll_many(
                [
                    Enrollment(
                        image_id=f"{row}",
                        vehicle_id=f"{of.vehicles[row]}",
                        descriptor=of.descriptors[row],
                        strips=of.strips[row],
                        image=b"x",
                        media_type="image/png",
                    )
                    for row in held[start : start + 200]
                ]
            )
        gallery.wait_for_index()
        if gallery.index_state().kind != kind:
            raise RuntimeError(f"the index is of kind {gallery.index_state().kind}, not {kind}")
        right = np.array(
            [
                _right(gallery, reranker, of.descriptors[row], of.strips[row], f"{of.vehicles[row]}")
                for row in track(probes, f"{kind}: both stages")
            ]
        )
        return float(right[:, 0].mean()), float(right[:, 1].mean()), len(held), len(probes)


def _right(
    gallery: LocalGallery, reranker: Reranker, descriptor: Floats, strips: NDArray[np.float16], vehicle: str
) -> tuple[bool, bool]:
    """Whether the first match is of the query's vehicle: after the first stage, after both."""
    found = gallery.search(descriptor[np.newaxis], CANDIDATES, strips=CANDIDATES)[0]
    distances = reranker.distances(
        strips[np.newaxis],
        np.stack([match.strips for match in found if match.strips is not None])[np.newaxis],
        np.array([[match.similarity for match in found]], np.float32),
    )[0]
    ranked = order_matches(found, distances.tolist())
    return found[0].record.vehicle_id == vehicle, ranked[0].match.record.vehicle_id == vehicle
