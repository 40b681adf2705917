"""What is enrolled."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from lka_reid_client.answers.base import Answer, Box
from lka_reid_client.answers.frames import FoundVehicle
from lka_reid_client.answers.problem import Problem


class EnrolledRecord(Answer):
    """An enrolled image, without its bytes.

    Attributes:
        captured_at: UTC.
        fingerprint: of the model bundle that embedded the image.
        enrolled_at: UTC.
    """

    image_id: str
    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None
    view: str | None
    vehicle_type: str | None
    tags: list[str]
    fingerprint: str
    enrolled_at: datetime
    media_type: str


class EnrolledImage(EnrolledRecord):
    """What was enrolled.

    Attributes:
        vehicle: as it was found in the image; absent of a crop, and where the caller named its box.
        crop: what was cut out of the image, with its margin: left, top, width and height in px; absent
            of a crop.
        same_image: ids under which the very same bytes were enrolled before, the first 10; absent where
            there are none, or where the gallery went away as soon as the image was in it.
    """

    vehicle: FoundVehicle | None = None
    crop: Box | None = None
    same_image: list[str] = Field(default_factory=list)


class EnrolledFrame(Answer):
    """What `detect=all` enrolled: one record a vehicle, in the order in which they were found.

    Attributes:
        width: of the image as it is looked at, px.
        height: px.
    """

    width: int
    height: int
    enrolled: list[EnrolledImage]


class EnrolledItem(Answer):
    """What became of one image.

    Attributes:
        status: as the route for one image would have answered it.
        record: where it is enrolled by this.
        problem: where it is not.
    """

    status: int
    record: EnrolledImage | None = None
    problem: Problem | None = None


class EnrollBatchAnswer(Answer):
    """What became of each image, in their order.

    Attributes:
        enrolled: images enrolled by this, durably and in one transaction.
    """

    enrolled: int
    items: list[EnrolledItem]


class RecordPage(Answer):
    """A stretch of the gallery in order of enrollment.

    Attributes:
        next: pass it as `after` for the next page; null on the last one.
    """

    records: list[EnrolledRecord]
    next: str | None


class DeletionAnswer(Answer):
    """How a deletion went.

    Attributes:
        deleted: images that are deleted, durably; 0 in a dry run.
        left: images that meet the conditions and are there: in a dry run those that would be deleted;
            else, where there are any, send the request again.
    """

    dry_run: bool
    deleted: int
    left: int


class RetentionAnswer(Answer):
    """How long images are kept.

    Attributes:
        days: null where images are kept for ever.
        expired: images that are older than the days in question and are there.
        deleted: images that were deleted for their age since the start.
        failed: whether the last look for them came to no end; the log says why.
    """

    days: int | None
    expired: int
    deleted: int
    failed: bool
