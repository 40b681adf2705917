"""The protocol of a gallery, wherever it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.amendment import Amendment
from index.cameras.normalisation import Normalisation
from index.cameras.report import CameraOverview, CameraState, Effect
from index.filter import ALL, Filter
from index.frames import Frame
from index.gallery_watches import GalleryWatches
from index.quota import Quota, Usage
from index.record import Enrollment, Found, Page, Record
from index.retention import RetentionState
from index.states import IndexState, RenewalState
from index.verdicts import Decision, Verdict, VerdictPage


class GalleryCameras(Protocol):
    """What a gallery knows of its cameras; it changes with enrollments, deletions and calibrations."""

    def normalisation(self) -> Normalisation:
        """The version in force, which says how a descriptor is normalised."""

    def renewal(self) -> RenewalState:
        """How the version in force stands to what is known of the cameras; costs nothing."""

    def overview(self) -> CameraOverview:
        """All cameras, and the normalisation in force."""

    def state(self, camera_id: str) -> CameraState:
        """One camera.

        Raises:
            UnknownCameraError: it has no images.
        """

    def effect(self, camera_id: str) -> Effect | None:
        """What normalising does to a camera; None where it or all others have too few images enrolled."""

    def calibrate(
        self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes, *, anew: bool = False
    ) -> bool:
        """Count an image, which is not kept, for what is known of a camera.

        Args:
            camera_id: of the camera.
            descriptor: float32 `[d]`, of the image.
            digest: of its file; one that is counted already is not counted again, and False returned.
            anew: forget all images that the camera was calibrated with before; where this one cannot be
                counted, they stay.

        Raises:
            InvalidEnrollmentError: the camera has no name, or the descriptor is not of this gallery's model.
            QuotaReachedError: the bytes would be more than the quota.
            GalleryFullError: there is no room for it.
        """

    def forget_calibration(self, camera_id: str) -> None:
        """Forget all images that a camera was calibrated with.

        Raises:
            UnknownCameraError: there are none.
        """


class GalleryRetention(Protocol):
    """How long a gallery keeps images; see `index.retention`."""

    @property
    def state(self) -> RetentionState:
        """As it is now; costs nothing."""

    def set(self, days: int | None) -> None:
        """Keep images for so many days, None for ever; what is too old then goes from now on.

        Raises:
            InvalidRetentionError: not 1 to 36,500 days.
            GalleryFullError: there is no room for it.
        """

    def expired(self, days: int | None = None) -> int:
        """How many images are too old now: by the days that are set, or by others; 0 where none are set.

        Raises:
            InvalidRetentionError: not 1 to 36,500 days.
        """


class GalleryVerdicts(Protocol):
    """What people decided of probes and enrolled images; see `index.verdicts` for what goes with what."""

    def decide(self, decision: Decision) -> Verdict:
        """Keep a verdict on a probe and an image, in the place of an earlier one.

        Raises:
            UnknownImageError: the image is not enrolled.
            TooManyVerdictsError: the probe has as many as it may.
            QuotaReachedError: the bytes would be more than the quota.
            GalleryFullError: there is no room for it.
        """

    def undo(self, probe: str, image_id: str) -> None:
        """Forget the verdict on a probe, named by the SHA-256 of its file in hex, and an image.

        Raises:
            UnknownVerdictError: there is none.
        """

    def of(self, probe: str) -> tuple[Verdict, ...]:
        """The verdicts on a probe, the first decided first; none for a probe that is not known."""

    def page(self, after: int | None = None, limit: int = 100) -> VerdictPage:
        """Up to `limit` verdicts, from the start or after a page's `next`.

        Raises:
            ValueError: the limit is below 1.
        """

    def probe(self, probe: str) -> tuple[bytes, str]:
        """The file of a probe that has verdicts, and its media type.

        Raises:
            UnknownVerdictError: it has none.
        """


class GalleryQuotas(Protocol):
    """How much a gallery may hold."""

    def quota(self) -> Quota:
        """What is set."""

    def usage(self) -> Usage:
        """What it holds now."""

    def set(self, quota: Quota) -> None:
        """Set it, durably. What is enrolled stays, also where it is more.

        Raises:
            InvalidQuotaError: a limit is not 0 or more.
            GalleryFullError: there is no room for it.
        """


class GalleryFrames(Protocol):
    """The whole images of scenes of which records hold crops, where they are kept; see `index.frames`."""

    def keep(self, image_ids: Sequence[str], frame: Frame) -> None:
        """Keep the frame of these images; what has one already keeps that.

        Raises:
            UnknownImageError: one of them is not enrolled; nothing was changed.
            QuotaReachedError: the bytes would be more than the quota.
            GalleryFullError: there is no room for it.
        """

    def of(self, image_id: str) -> Frame:
        """The frame that an image was cut out of.

        Raises:
            UnknownFrameError: none is kept.
            DamagedImageError: it is not as it was kept.
        """


class Gallery(Protocol):
    """Enrolled images of one model. All methods may be called from any thread, and may block.

    A gallery is opened for the model that embeds its images: descriptors are float32 `[d]` of unit length,
    strips are float16 `[s, w]`, with d, s and w of that model. A change is durable, and seen by every later
    call, once its method has returned; where a method raises, nothing was changed. Every method but `close`
    raises GalleryClosedError after `close`.
    """

    @property
    def cameras(self) -> GalleryCameras:
        """What is known of its cameras, and how descriptors are normalised by it."""

    @property
    def retention(self) -> GalleryRetention:
        """How long images are kept."""

    @property
    def verdicts(self) -> GalleryVerdicts:
        """What people decided of probes and enrolled images."""

    @property
    def watches(self) -> GalleryWatches:
        """Vehicles that new images are compared with."""

    @property
    def frames(self) -> GalleryFrames:
        """The frames that are kept of its images."""

    @property
    def quotas(self) -> GalleryQuotas:
        """How much it may hold; an enrollment beyond it raises QuotaReachedError and changes nothing."""

    def enroll(self, enrollment: Enrollment) -> Record:
        """Add an image.

        Raises:
            InvalidEnrollmentError: a field does not fit this gallery.
            DuplicateImageError: its image_id is enrolled already.
            GalleryFullError: there is no room for it.
        """

    def enroll_many(self, enrollments: Sequence[Enrollment]) -> list[Record]:
        """Add images, all or none; the records are in the order given.

        Raises:
            InvalidEnrollmentError, DuplicateImageError, GalleryFullError: as `enroll`, for the first that
                is at fault.
        """

    def delete(self, image_id: str) -> None:
        """Remove an image and all that belongs to it.

        Raises:
            UnknownImageError: it is not enrolled.
        """

    def delete_where(self, where: Filter, most: int | None = None) -> int:
        """Remove images that a filter lets through, `most` at most; how many there were.

        Each is wholly removed or not at all; where the process ends in between, some are.

        Raises:
            InvalidFilterError: a condition is not what this gallery stores.
        """

    def update(self, image_id: str, amendment: Amendment, was: Record | None = None) -> Record:
        """Change what is known of an image, all of the amendment or nothing; its record as it is now.

        The statistics of its cameras follow, and its descriptor is normalised by the camera that it has now.
        Where `was` is given, only a record is changed that is still that one.

        Raises:
            InvalidEnrollmentError: a field cannot have that value, or cannot be changed.
            UnknownImageError: it is not enrolled.
            ChangedImageError: its record is not `was`.
            DamagedImageError: its record is not what was written.
            QuotaReachedError: the bytes would be more than the quota.
            GalleryFullError: there is no room for it.
        """

    def get(self, image_id: str) -> Record:
        """The record of an image.

        Raises:
            UnknownImageError: it is not enrolled.
        """

    def image(self, image_id: str) -> tuple[bytes, str]:
        """The image file's bytes as enrolled, and its media type.

        Raises:
            UnknownImageError: it is not enrolled.
        """

    def same_image(self, data: bytes, limit: int = 10) -> list[str]:
        """Ids of enrolled images with these very bytes, in order of enrollment, `limit` at most."""

    def count(self, where: Filter = ALL) -> int:
        """How many images are enrolled, and let through by the filter.

        Raises:
            InvalidFilterError: a condition is not what this gallery stores.
        """

    def page(self, after: int | None = None, limit: int = 100, *, where: Filter = ALL) -> Page:
        """Up to `limit` records in order of enrollment, from the start or after a page's `next`.

        Only those that the filter lets through. Nothing is shown twice or left out, whatever is enrolled or
        deleted between two pages.

        Raises:
            InvalidFilterError: a condition is not what this gallery stores.
            ValueError: the limit is below 1.
        """

    def search(
        self,
        descriptors: NDArray[np.float32],
        k: int,
        *,
        where: Filter = ALL,
        strips: int = 0,
        cameras: Sequence[str | None] | None = None,
    ) -> list[Found]:
        """The k most similar images for each of the probes `[B, d]`, best first.

        Of equally similar images the one enrolled first comes first. A list is shorter than k only where the
        filter lets fewer images through. The record, similarity and strips of a match are of one enrollment,
        whatever is deleted and enrolled meanwhile, under the same image_id too; an image that is enrolled or
        deleted during the call may be found or not.

        Args:
            descriptors: of the probes.
            k: matches wanted for each.
            where: what is searched.
            strips: so many of the first matches in each list come with their strips.
            cameras: of the probes, None for an unknown one. A search leaves what is known of them as it is.

        Raises:
            InvalidProbeError: the descriptors are not of this gallery's model.
            InvalidFilterError: the filter has conditions that this gallery does not know.
            ValueError: k is below 1, or `strips` below 0.
        """

    def snapshot_age_seconds(self) -> float | None:
        """Seconds since the snapshot of the vector index was written, None where there is none."""

    def changes_since_snapshot(self) -> int:
        """Enrollments and deletions after the snapshot, which the next opening has to make again."""

    def unerased_seconds(self) -> float:
        """s since the first deletion that still is in some file; 0 where everything deleted is erased."""

    def index_state(self) -> IndexState:
        """The vector index: its kind, where it is searched, its memory; costs nothing."""

    def fault(self) -> str | None:
        """What keeps the gallery from taking or giving images, with the remedy; None where nothing does."""

    def close(self) -> None:
        """Finish what is under way and release everything. Idempotent."""
