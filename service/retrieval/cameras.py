"""Learning a camera from images that are not enrolled."""

from __future__ import annotations

import hashlib

from anyio import CapacityLimiter, to_thread

from index import CameraState, Gallery
from service.inference.embedder import EmbeddedImage, ImageEmbedder


class CameraLearner:
    """Counts images for what a gallery knows of a camera; the images themselves are not kept.

    Args:
        embedder: images to features.
        gallery: that learns.
        limiter: gallery operations under way at the same time.
    """

    def __init__(self, embedder: ImageEmbedder, gallery: Gallery, limiter: CapacityLimiter) -> None:
        self._embedder = embedder
        self._gallery = gallery
        self._limiter = limiter

    async def calibrate(
        self, data: bytes, camera_id: str, deadline: float, *, anew: bool = False
    ) -> tuple[CameraState, bool, EmbeddedImage]:
        """Embed an image and count it; what is known of the camera then, and whether the image was new.

        With `anew` it takes the place of all that were counted for the camera; where it cannot be counted,
        those stay.

        Raises:
            ImageError, Overloaded, Expired, EmbeddingError, WorkerStoppedError: see `ImageEmbedder.embed`.
            GalleryFullError: there is no room for it.
        """
        image = await self._embedder.embed(data, deadline)
        state, is_new = await to_thread.run_sync(
            self._count, data, camera_id, image, anew, limiter=self._limiter
        )
        return state, is_new, image

    def _count(
        self, data: bytes, camera_id: str, image: EmbeddedImage, anew: bool
    ) -> tuple[CameraState, bool]:
        cameras = self._gallery.cameras
        digest = hashlib.sha256(data).digest()
        is_new = cameras.calibrate(camera_id, image.features.descriptor, digest, anew=anew)
        return cameras.state(camera_id), is_new
