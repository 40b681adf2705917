"""The frames that a gallery on this machine keeps."""

from __future__ import annotations

from collections.abc import Sequence

from index.database.frames import SELECT_FRAME, digest_of, keep
from index.errors import DamagedImageError, UnknownFrameError, UnknownImageError
from index.frames import Frame
from index.local.mirror import Mirror
from index.validation import storable


class LocalFrames:
    """The frames of a gallery on this machine; see `index.gallery.GalleryFrames`."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def keep(self, image_ids: Sequence[str], frame: Frame) -> None:
        """Keep the frame of these images. Raises UnknownImageError, QuotaReachedError, GalleryFullError."""
        for image_id in image_ids:
            if not storable(image_id):
                raise UnknownImageError(image_id)
        with self._mirror.settled(), self._mirror.store.adding(len(frame.data)) as writer:
            keep(writer, image_ids, frame)

    def of(self, image_id: str) -> Frame:
        """The frame that an image was cut out of. Raises UnknownFrameError and DamagedImageError."""
        if not storable(image_id):
            raise UnknownFrameError(image_id)
        with self._mirror.store.reading() as connection:
            found = connection.execute(SELECT_FRAME, (image_id,)).fetchone()
        if found is None:
            raise UnknownFrameError(image_id)
        data, media_type, digest = found
        if digest_of(data) != digest:
            raise DamagedImageError(image_id, "frame")
        return Frame(data, media_type)
