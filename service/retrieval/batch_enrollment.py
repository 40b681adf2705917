"""Enrolling many images at once: one transaction, and a status for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from anyio import CapacityLimiter, to_thread

from index import DuplicateImageError, Enrollment, Gallery, InvalidEnrollmentError, QuotaReachedError, Record
from service.inference.embedder import EmbeddedImage, ImageEmbedder
from service.retrieval.enrollment import (
    AlreadyEnrolledError,
    Description,
    differences,
    enrollment_of,
    same_image,
)

Item = tuple[bytes, Description]
"""An image file and what is known of it."""


@dataclass(frozen=True)
class Enrolled:
    """An image of a batch that was enrolled; other ids of the same bytes, in order of enrollment."""

    record: Record
    image: EmbeddedImage
    same_image: list[str] = field(default_factory=list)


class BatchEnroller:
    """Puts batches of images into a gallery.

    Args:
        embedder: images to features.
        gallery: where they go.
        limiter: gallery operations under way at the same time.
    """

    def __init__(self, embedder: ImageEmbedder, gallery: Gallery, limiter: CapacityLimiter) -> None:
        self._embedder = embedder
        self._gallery = gallery
        self._limiter = limiter

    async def enroll(self, items: Sequence[Item], deadline: float) -> list[Enrolled | Exception]:
        """Embed and enroll images; what became of each, in their order.

        What can be enrolled is durable when this returns, and no image keeps another from it. The exceptions
        are those that `Enroller.enroll` raises; an id that stands in it twice is its first image's.

        Args:
            items: the images.
            deadline: of `time.monotonic()`, in s; images that are embedded by then are enrolled.

        Raises:
            GalleryFullError, GalleryDamagedError, GalleryClosedError: none was enrolled.
        """
        first: dict[str, int] = {}
        for place, (_, description) in enumerate(items):
            first.setdefault(description.image_id, place)
        found: dict[int, Enrolled | Exception] = {}
        found |= await to_thread.run_sync(self._known, items, list(first.values()), limiter=self._limiter)
        wanted = [place for place in first.values() if place not in found]
        outcomes = await self._embedder.embed_many([items[place][0] for place in wanted], deadline)
        images: dict[int, EmbeddedImage] = {}
        for place, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, Exception):
                found[place] = outcome
            else:
                images[place] = outcome
        found |= await to_thread.run_sync(self._commit, items, images, limiter=self._limiter)
        again = [place for place in range(len(items)) if place not in found]
        known = await to_thread.run_sync(self._known, items, again, limiter=self._limiter)
        # Its id's first image is enrolled now, or was not: then neither is this one.
        return [
            found[place] if place in found else known.get(place, found[first[description.image_id]])
            for place, (_, description) in enumerate(items)
        ]

    def _known(self, items: Sequence[Item], places: Sequence[int]) -> dict[int, AlreadyEnrolledError]:
        """The error of each of these images whose id is enrolled already."""
        errors = {}
        for place in places:
            data, description = items[place]
            differing = differences(self._gallery, data, description)
            if differing is not None:
                errors[place] = AlreadyEnrolledError(description.image_id, differing)
        return errors

    def _commit(
        self, items: Sequence[Item], images: dict[int, EmbeddedImage]
    ) -> dict[int, Enrolled | Exception]:
        """Enroll all that can be, in one transaction unless the gallery refuses one of them."""
        if not images:
            return {}
        enrollments = {place: enrollment_of(*items[place], image) for place, image in images.items()}
        try:
            records = self._gallery.enroll_many(list(enrollments.values()))
        except (DuplicateImageError, InvalidEnrollmentError, QuotaReachedError):
            # Another request was first with an id, the model gave what no gallery takes, or there is room for
            # some alone.
            return {place: self._alone(items[place], of, images[place]) for place, of in enrollments.items()}
        return {
            place: self._enrolled(items[place][0], record, image)
            for (place, image), record in zip(images.items(), records, strict=True)
        }

    def _enrolled(self, data: bytes, record: Record, image: EmbeddedImage) -> Enrolled:
        return Enrolled(record, image, same_image(self._gallery, data, record.image_id))

    def _alone(self, item: Item, enrollment: Enrollment, image: EmbeddedImage) -> Enrolled | Exception:
        try:
            return self._enrolled(item[0], self._gallery.enroll(enrollment), image)
        except DuplicateImageError as error:
            return self._known([item], [0]).get(0, error)
        except (InvalidEnrollmentError, QuotaReachedError) as error:
            return error
