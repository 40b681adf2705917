"""Sending a group of images that are to be enrolled: by one request, or one by one."""

from __future__ import annotations

from collections.abc import Sequence

from lka_reid_client.call import LATER
from lka_reid_client.errors import AbandonedError, ClientError, RefusedError, ServiceUnreachableError
from models.intake.files import reason_of
from service.remote.http import Enrolled, ServiceClient
from service.remote.outcome import Fate, NotEnrolled
from service.remote.sources import Upload

ALL_ALIKE = frozenset({401, 403, 507})
"""Refusals that every further image would meet: no key, the wrong one, a disk that is full."""
GROUP_BYTES = 32 * 1024 * 1024
"""Of a request's images at most; half of what a service takes by default."""


class StopError(Exception):
    """What every further image would meet; `done` is what became of the group until then."""

    def __init__(self, message: str, done: Sequence[NotEnrolled] = ()) -> None:
        super().__init__(message)
        self.done = list(done)


class Sender:
    """Sends groups of uploads to one service; from several threads.

    A service that takes no batches gets them one by one, and so does one that asks for an image later.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._takes_batches = True

    def send(self, group: Sequence[Upload]) -> list[NotEnrolled]:
        """What became of each.

        Raises:
            StopError: what every further image would meet.
        """
        if not self._takes_batches or len(group) == 1:
            return self._singly(group)
        found: list[NotEnrolled] = []
        read: list[tuple[Upload, bytes]] = []
        for place, upload in enumerate(group):
            try:
                read.append((upload, upload.path.read_bytes()))
            except OSError as error:
                found.append(NotEnrolled(upload.place, Fate.failed, reason_of(error)))
                continue
            if sum(len(data) for _, data in read) > GROUP_BYTES:
                found += self._together(read[:-1])
                return found + self.send(group[place:])
        return found + self._together(read)

    def _together(self, read: Sequence[tuple[Upload, bytes]]) -> list[NotEnrolled]:
        uploads = [upload for upload, _ in read]
        if not uploads:
            return []
        try:
            answers = self._client.enroll_many([data for _, data in read], [each.fields for each in uploads])
        except AbandonedError as error:
            return [NotEnrolled(upload.place, Fate.not_tried, str(error)) for upload in uploads]
        except ClientError as error:
            if _meets_all(error):
                failed = [NotEnrolled(upload.place, Fate.failed, str(error)) for upload in uploads]
                raise StopError(str(error), failed) from error
            # It concerns the request: each image by itself tells what is wrong with it.
            return self._singly(uploads)
        if answers is None:
            self._takes_batches = False
            return self._singly(uploads)
        found = []
        later = []
        for upload, answer in zip(uploads, answers, strict=True):
            if isinstance(answer, Enrolled):
                found.append(NotEnrolled(upload.place, *_fate(upload, answer)))
            elif answer.status in LATER:
                later.append(upload)
            else:
                found.append(NotEnrolled(upload.place, Fate.failed, str(answer)))
        return found + self._singly(later)

    def _singly(self, group: Sequence[Upload]) -> list[NotEnrolled]:
        found: list[NotEnrolled] = []
        for place, upload in enumerate(group):
            if self._client.is_abandoned and place:
                return found + [NotEnrolled(left.place, Fate.not_tried, "") for left in group[place:]]
            try:
                found.append(NotEnrolled(upload.place, *self._one(upload)))
            except StopError as error:
                found.append(NotEnrolled(upload.place, Fate.failed, str(error)))
                found += [NotEnrolled(left.place, Fate.not_tried, "") for left in group[place + 1 :]]
                raise StopError(str(error), found) from error
        return found

    def _one(self, upload: Upload) -> tuple[Fate, str]:
        try:
            answer = self._client.enroll(upload.path, upload.fields)
        except OSError as error:
            return Fate.failed, reason_of(error)
        except AbandonedError as error:
            return Fate.not_tried, str(error)
        except ClientError as error:
            if _meets_all(error):
                raise StopError(str(error)) from error
            return Fate.failed, str(error)
        return _fate(upload, answer)


def _meets_all(error: ClientError) -> bool:
    """Whether every further image would meet the same."""
    return isinstance(error, ServiceUnreachableError) or (
        isinstance(error, RefusedError) and error.status in ALL_ALIKE
    )


def _fate(upload: Upload, answer: Enrolled) -> tuple[Fate, str]:
    if answer.new:
        return Fate.enrolled, ""
    if answer.differs is None:
        return Fate.failed, "its id is enrolled already; whether with this image the service does not say"
    if "image" in answer.differs:
        return Fate.other_image, f"another image is enrolled as {upload.image_id!r}"
    if answer.differs:
        return Fate.other_fields, f"enrolled with another {', '.join(answer.differs)}"
    return Fate.already, ""
