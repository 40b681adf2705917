"""Enrolling: an image file and what is known of it become a record of the gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from anyio import CapacityLimiter, to_thread

from index import (
    DuplicateImageError,
    Enrollment,
    Frame,
    Gallery,
    GalleryError,
    Record,
    UnknownImageError,
)
from models.decoding.formats import media_type
from service.inference.coalescing import Coalescer
from service.inference.embedder import EmbeddedImage, ImageEmbedder

GROUP = 64
"""Concurrent enrollments that share a transaction, and its wait for the disk, at most."""
FIELDS = ("vehicle_id", "camera_id", "captured_at", "view", "vehicle_type", "tags")

SAME = 10
"""Images with the same bytes that are named at most."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Description:
    """What is known of an image besides its pixels."""

    image_id: str
    vehicle_id: str | None = None
    camera_id: str | None = None
    captured_at: datetime | None = None
    view: str | None = None
    vehicle_type: str | None = None
    tags: tuple[str, ...] = ()


class AlreadyEnrolledError(DuplicateImageError):
    """The image id is enrolled already; nothing was changed.

    Attributes:
        differs: what was sent and is not as enrolled: `image` for the bytes of the file, and names of
            fields. Empty where all is as enrolled, None where that is not known.
    """

    def __init__(self, image_id: str, differs: tuple[str, ...] | None) -> None:
        super().__init__(image_id)
        self.differs = differs
        if differs is not None:
            how = (
                f"with another {', '.join(differs)}; delete it first to replace it" if differs else "as sent"
            )
            self.args = (f"image_id {image_id!r} is already enrolled, {how}",)


class Enroller:
    """Puts images into a gallery.

    An enrollment that comes alone gets a transaction of its own, at once; those that come during one share
    the next. Where one of them cannot be made, each is tried alone.

    Args:
        embedder: images to features.
        gallery: where they go.
        limiter: gallery operations under way at the same time.
    """

    def __init__(self, embedder: ImageEmbedder, gallery: Gallery, limiter: CapacityLimiter) -> None:
        self._embedder = embedder
        self._gallery = gallery
        self._limiter = limiter
        self._committed: Coalescer[Enrollment, Record] = Coalescer("enrollment", gallery.enroll_many, GROUP)

    async def enroll(
        self, data: bytes, description: Description, deadline: float
    ) -> tuple[Record, EmbeddedImage]:
        """Embed and enroll an image; the record is durable when this returns.

        Raises:
            AlreadyEnrolledError: the id is enrolled already; most often found before the image is embedded.
            ImageError, Overloaded, Expired, EmbeddingError, WorkerStoppedError: see `ImageEmbedder.embed`.
        """
        differs = await self.differences(data, description)
        if differs is not None:
            raise AlreadyEnrolledError(description.image_id, differs)
        image = await self._embedder.embed(data, deadline)
        enrollment = enrollment_of(data, description, image)
        try:
            record = await to_thread.run_sync(self._committed, enrollment, limiter=self._limiter)
        except DuplicateImageError as error:
            # Another request was first.
            differs = await self.differences(data, description)
            raise AlreadyEnrolledError(description.image_id, differs) from error
        return record, image

    async def differences(self, data: bytes, description: Description) -> tuple[str, ...] | None:
        """What of an enrollment is not as enrolled already; None where its id is not enrolled.

        A field that was not sent does not differ.
        """
        return await to_thread.run_sync(differences, self._gallery, data, description, limiter=self._limiter)

    async def same_image(self, data: bytes, image_id: str) -> list[str]:
        """Ids of other images with these very bytes, in order of enrollment, the first 10."""
        return await to_thread.run_sync(same_image, self._gallery, data, image_id, limiter=self._limiter)

    async def keep_frame(self, image_ids: Sequence[str], data: bytes) -> None:
        """Keep the frame of enrolled images. Raises UnknownImageError and GalleryFullError."""
        frame = Frame(data, media_type(data))
        await to_thread.run_sync(self._gallery.frames.keep, image_ids, frame, limiter=self._limiter)

    async def record(self, image_id: str) -> Record:
        """What is known of an enrolled image. Raises UnknownImageError."""
        return await to_thread.run_sync(self._gallery.get, image_id, limiter=self._limiter)


def differences(gallery: Gallery, data: bytes, description: Description) -> tuple[str, ...] | None:
    """What of an enrollment is not as enrolled already; None where its id is not enrolled."""
    try:
        record = gallery.get(description.image_id)
        image, _ = gallery.image(description.image_id)
    except UnknownImageError:
        return None
    fields = (
        name for name in FIELDS if (sent := getattr(description, name)) and sent != getattr(record, name)
    )
    return (*(("image",) if image != data else ()), *fields)


def same_image(gallery: Gallery, data: bytes, image_id: str) -> list[str]:
    """Ids of other images with these very bytes, in order of enrollment, the first `SAME`.

    None of them where the gallery does not answer: the image is enrolled, and would be sent again if refused.
    """
    try:
        found = gallery.same_image(data, SAME + 1)
    except GalleryError as error:
        log.warning("same_image_unknown", error=str(error))
        return []
    return [other for other in found if other != image_id][:SAME]


def enrollment_of(data: bytes, description: Description, image: EmbeddedImage) -> Enrollment:
    """An embedded image as the gallery takes it."""
    return Enrollment(
        image_id=description.image_id,
        vehicle_id=description.vehicle_id,
        camera_id=description.camera_id,
        captured_at=description.captured_at,
        view=description.view,
        vehicle_type=description.vehicle_type,
        tags=description.tags,
        descriptor=image.features.descriptor,
        strips=image.features.strips,
        image=data,
        media_type=media_type(data),
    )
