"""What a gallery knows of its cameras, beside a recomputation from its descriptors."""

from __future__ import annotations

import numpy as np

from index import LocalGallery
from index.cameras.sums import CameraSums, Sums
from index.database.changes import described


def sums_of(gallery: LocalGallery) -> dict[str, CameraSums]:
    """What the database holds of each camera."""
    with gallery._store.moment() as moment:
        return dict(moment.cameras())


def assert_statistics_are_recomputed_ones(gallery: LocalGallery) -> None:
    """Each camera's enrolled sums are, bit for bit, those of the descriptors that are stored now."""
    with gallery._store._connections.reader() as connection:
        pieces = list(described(connection))
    cameras = np.array([camera or "" for piece in pieces for camera in piece.cameras], dtype=object)
    expected = {}
    for camera in sorted(set(cameras)):
        rows = np.concatenate([piece.descriptors for piece in pieces])[cameras == camera]
        expected[camera] = Sums.of(rows)
    assert {name: of.enrolled for name, of in sums_of(gallery).items() if of.enrolled.count} == expected


def calibrate_two(gallery: LocalGallery, dim: int) -> None:
    """Calibrate the cameras a and b by ten images each, and wait for what follows from it."""
    random = np.random.default_rng(0)
    for number in range(20):
        descriptor = random.standard_normal(dim)
        unit = (descriptor / np.linalg.norm(descriptor)).astype(np.float32)
        gallery.cameras.calibrate("ab"[number % 2], unit, bytes([number]))
    gallery.cameras.wait()
    gallery.cameras.renew_if_due()
