"""Changes to the images of a gallery on this machine: in the database first, then in the vector index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from index.amendment import Amendment
from index.database.amending import Amended
from index.database.descriptors import as_stored
from index.database.insertion import Inserted
from index.local.mirror import Mirror
from index.record import Enrollment, Record


class Writer:
    """What changes images; what they are changed to was checked.

    Each returns once SQLite has committed and the index has followed. All raise GalleryClosedError.

    Args:
        mirror: the database and the index.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._store = mirror.store

    def enroll(self, enrollments: Sequence[Enrollment]) -> list[Record]:
        """Add images, all or none; see `index.gallery.Gallery.enroll_many`."""
        descriptors = as_stored(np.stack([enrollment.descriptor for enrollment in enrollments]))
        cameras = [enrollment.camera_id for enrollment in enrollments]

        def follow(done: Inserted) -> None:
            vectors = self._mirror.vectors
            normalised = vectors.normalisation.apply(descriptors, cameras)
            vectors.add(done.ids, normalised, sequence=done.sequence)

        return self._mirror.change(lambda: self._store.insert(enrollments, datetime.now(UTC)), follow).records

    def delete(self, image_id: str) -> None:
        """Remove an image. Raises UnknownImageError."""
        self._mirror.change(
            lambda: self._store.delete(image_id),
            lambda done: self._mirror.vectors.remove(done[0], sequence=done[1]),
        )

    def delete_some(self, condition: str, values: Sequence[Any], most: int) -> int:
        """Remove images whose records meet a condition, `most` at most; how many there were."""
        ids, _ = self._mirror.change(
            lambda: self._store.delete_some(condition, values, most),
            lambda done: self._mirror.vectors.remove(done[0], sequence=done[1]) if len(done[0]) else None,
        )
        return len(ids)

    def update(self, image_id: str, amendment: Amendment, was: Record | None) -> Amended:
        """Change what is known of an image; see `index.gallery.Gallery.update`."""

        def follow(done: Amended) -> None:
            vectors, ids = self._mirror.vectors, np.array([done.record_id], np.int64)
            if done.moved is None:
                vectors.reach(done.sequence or self._store.changes.last())
            else:
                vectors.remove(ids, sequence=None)
                moved = vectors.normalisation.apply(done.moved[np.newaxis], [done.record.camera_id])
                vectors.add(ids, moved, sequence=done.sequence)

        return self._mirror.change(lambda: self._store.amend(image_id, amendment, was), follow)
