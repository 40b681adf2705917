"""What the watches of a gallery on Milvus ask of its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from index.milvus.engine import CHUNK, Engine
from index.milvus.expression import numbers as numbered
from index.milvus.row import to_record
from index.milvus.writing import row_of
from index.record import GalleryHeader, Record


class MilvusEnrolled:
    """See `index.milvus.companions.Enrolled`. MilvusError and ObjectStoreError pass through.

    Args:
        engine: the rows.
        header: of the gallery.
        image: an image's file and its media type.
    """

    def __init__(
        self, engine: Engine, header: GalleryHeader, image: Callable[[str], tuple[bytes, str]]
    ) -> None:
        self._engine = engine
        self._header = header
        self.image = image

    def number(self, image_id: str) -> int | None:
        """The number of an image's enrollment; None where it is not enrolled."""
        row = row_of(self._engine, image_id)
        return None if row is None else int(row["record_id"])

    def records(self, numbers: Sequence[int]) -> dict[int, Record]:
        """Records by their numbers; those of deleted images are not there."""
        return {
            row["record_id"]: to_record(row, self._header.fingerprint)
            for first in range(0, len(numbers), CHUNK)
            for row in self._engine.rows(numbered(numbers[first : first + CHUNK]))
        }

    def descriptors(self, numbers: Sequence[int]) -> dict[int, tuple[str | None, NDArray[np.float32]]]:
        """Camera and descriptor `[d]` as stored, by their numbers; those of deleted images are not there."""
        return {
            row["record_id"]: (to_record(row, self._header.fingerprint).camera_id, row["descriptor"])
            for first in range(0, len(numbers), CHUNK)
            for row in self._engine.rows(numbered(numbers[first : first + CHUNK]), descriptors=True)
        }
