"""Cameras are taken out of measured descriptors as a gallery takes them out of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import Enrollment, LocalGallery
from training.evaluation.cameras import normalisation_of

DIM = 12


def tinted(count: int) -> tuple[NDArray[np.float32], list[str | None]]:
    random = np.random.default_rng(0)
    cameras: list[str | None] = [("a", "b", None)[n % 3] for n in range(count)]
    rows = random.standard_normal((count, DIM))
    rows[:, 0] += [0.0 if camera is None else 3.0 * (camera == "a") for camera in cameras]
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit, cameras


def test_it_is_what_a_gallery_of_the_same_images_has_in_force(tmp_path: Path) -> None:
    rows, cameras = tinted(60)
    with LocalGallery.open(
        tmp_path, fingerprint="f", descriptor_dim=DIM, strips_shape=None, normalisation="auto"
    ) as gallery:
        gallery.enroll_many(
            [
                Enrollment(
                    image_id=str(n),
                    camera_id=camera,
                    descriptor=row,
                    strips=None,
                    image=b"x",
                    media_type="image/png",
                )
                for n, (row, camera) in enumerate(zip(rows, cameras, strict=True))
            ]
        )
        gallery.cameras.wait()
        gallery.cameras.renew_if_due()
        in_force = gallery.cameras.normalisation()
    found = normalisation_of(rows, cameras)
    assert not found.is_raw
    # The gallery stores descriptors in 16 bits.
    np.testing.assert_allclose(found.apply(rows, cameras), in_force.apply(rows, cameras), atol=2e-4)


def test_it_leaves_descriptors_as_they_are_where_auto_does() -> None:
    rows, cameras = tinted(12)
    assert normalisation_of(rows, cameras).is_raw
    assert not normalisation_of(rows, cameras, always=True).is_raw
