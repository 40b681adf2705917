"""Enrolling: an image file and what is known of it become a record of the gallery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from anyio import CapacityLimiter, to_thread

from index import DuplicateImageError, Enrollment, Gallery, Record, UnknownImageError
from service.inference.embedder import EmbeddedImage, ImageEmbedder

MEDIA_TYPES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG", "image/png"),
    (b"RIFF", "image/webp"),
    (b"BM", "image/bmp"),
)


def media_type(data: bytes) -> str:
    """The media type of an image file that has been decoded already, by its first bytes."""
    return next((kind for start, kind in MEDIA_TYPES if data.startswith(start)), "application/octet-stream")


@dataclass(frozen=True)
class Description:
    """What is known of an image besides its pixels."""

    image_id: str
    vehicle_id: str | None = None
    camera_id: str | None = None
    captured_at: datetime | None = None
    view: str | None = None
    tags: tuple[str, ...] = ()


class Enroller:
    """Puts images into a gallery.

    Args:
        embedder: images to features.
        gallery: where they go.
        limiter: gallery operations under way at the same time.
    """

    def __init__(self, embedder: ImageEmbedder, gallery: Gallery, limiter: CapacityLimiter) -> None:
        self._embedder = embedder
        self._gallery = gallery
        self._limiter = limiter

    async def enroll(
        self, data: bytes, description: Description, deadline: float
    ) -> tuple[Record, EmbeddedImage]:
        """Embed and remember an image; the record is durable when this returns.

        Raises:
            DuplicateImageError: the id is enrolled already; most often found before the embedder is bothered.
            ImageError, Overloaded, Expired, EmbeddingError, WorkerStoppedError: see `ImageEmbedder.embed`.
        """
        if await to_thread.run_sync(self._is_enrolled, description.image_id, limiter=self._limiter):
            raise DuplicateImageError(description.image_id)
        image = await self._embedder.embed(data, deadline)
        enrollment = Enrollment(
            image_id=description.image_id,
            vehicle_id=description.vehicle_id,
            camera_id=description.camera_id,
            captured_at=description.captured_at,
            view=description.view,
            tags=description.tags,
            descriptor=image.features.descriptor,
            strips=image.features.strips,
            image=data,
            media_type=media_type(data),
        )
        record = await to_thread.run_sync(self._gallery.enroll, enrollment, limiter=self._limiter)
        return record, image

    def _is_enrolled(self, image_id: str) -> bool:
        try:
            self._gallery.get(image_id)
        except UnknownImageError:
            return False
        return True
