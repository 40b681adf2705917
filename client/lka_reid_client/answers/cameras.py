"""What is known of cameras."""

from __future__ import annotations

from datetime import datetime

from lka_reid_client.answers.base import Answer


class CameraEntry(Answer):
    """A camera that has images.

    Attributes:
        enrolled: images in the gallery.
        calibrated: images that it was calibrated with.
        use: what the version in force knows of it, as in a query's answer.
        weight: how far its mean is its own, and not half that of all images: 0 to 1.
        distance: of its mean from that of all other images, in deviations; null where there are no
            others.
        drift: how far its descriptors would move by a new version, as a share of their length; null
            where nothing is normalised.
    """

    camera_id: str
    enrolled: int
    calibrated: int
    use: str
    weight: float
    distance: float | None
    drift: float | None


class CameraEffect(Answer):
    """How much nearer a camera's images are to each other than to those of other cameras: of the ten
    images nearest to one of its images, the share that is its own.

    Attributes:
        images: of this camera and of others that it was measured on.
        expected: the share if the camera had no influence.
        before: the share by descriptors as they are.
        after: the share by normalised descriptors.
    """

    images: int
    expected: float
    before: float
    after: float


class CameraAnswer(CameraEntry):
    """A camera, and what normalising does to it.

    Attributes:
        effect: null where it, or all other cameras, have too few images enrolled.
    """

    effect: CameraEffect | None = None


class NormalisationInForce(Answer):
    """The gallery's normalisation.

    Attributes:
        mode: as it is set.
        version: in force, 0 before the first.
        is_on: whether descriptors are normalised now.
        made_at: when the version was made, UTC.
        drift: the largest drift of a camera.
        drift_limit: drift from which on a new version is made.
        is_renewing: whether a new version is being made.
        renewal_seconds: s that making the last version took; null before the first since the start.
    """

    mode: str
    version: int
    is_on: bool
    made_at: datetime | None
    drift: float
    drift_limit: float
    is_renewing: bool
    renewal_seconds: float | None


class CamerasAnswer(Answer):
    """Every camera that has images, by id."""

    normalisation: NormalisationInForce
    cameras: list[CameraEntry]


class CalibrationCount(Answer):
    """How many images a camera is known by.

    Attributes:
        counted: whether this image was new; the same bytes count once.
        calibrated: images that the camera was calibrated with.
        enrolled: enrolled images of the camera.
    """

    camera_id: str
    counted: bool
    calibrated: int
    enrolled: int
