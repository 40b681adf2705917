"""Changes of a gallery on Milvus, and the order in which they are made.

Enrolling: the ids are claimed; none of them is found; numbers are drawn; room is reserved; image and strips
are written to the object store; the numbers are owed to the watches; the claim is held for the whole time
again; **the rows are inserted, which is the acknowledgement**; then the watches look and the room is
counted. A process that dies before the insert leaves objects that no row names, which the sweep removes, and
numbers of no row, which whoever looks for the watches forgets; one that dies after it leaves an enrolled
image, which is found by the number that is owed, and a reservation that ends by itself. Where Milvus goes
away during the insert, nobody knows whether the rows are there: they are in doubt until it answers again, and
are counted then, if they are.

Deleting: the ids are claimed; frames go, and watches of files with the same bytes; **the rows are deleted,
which is the acknowledgement**; then the images' watches and alerts, verdicts and objects go. A process that
dies after it leaves some of no row, which the sweep removes.

Numbers are drawn under the claim, so that they fence: of two rows of one id, which only a replica can make
that stood still for longer than its claim, the higher number is of the later claim. The one whose claim was
lost looks once more after its insert, and takes its own row back where there is a later one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from index.amendment import Amendment
from index.database.descriptors import as_stored
from index.errors import ChangedImageError, DuplicateImageError, UnknownImageError
from index.milvus.companions import Claim, Companions, KeptWatches
from index.milvus.connection import MilvusError
from index.milvus.engine import Engine
from index.milvus.expression import literal, numbers, one_of
from index.milvus.row import (
    amended,
    check_fits,
    check_id,
    image_name,
    is_id,
    objects_of,
    strips_bytes,
    strips_name,
    to_record,
    to_row,
)
from index.objects import Objects
from index.record import Enrollment, GalleryHeader, Record

PATIENCE_S: Final = 10.0
"""s that a change waits for another one of the same image, by whichever replica."""
PAUSE_S: Final = 0.05
LONGEST_S: Final = 1800.0
"""s after which objects may have been swept before their row was there; half the sweep's grace."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class InDoubt:
    """Rows that were refused, and may be there all the same."""

    rows: Sequence[Mapping[str, Any]]
    reservation: Any


class RowsInDoubtError(MilvusError):
    """Rows may be there or not: neither their insert nor their removal was answered."""


class Writer:
    """Makes the changes.

    Args:
        engine: the rows.
        objects: of this gallery alone.
        companions: what is kept beside them.
        header: of the gallery.
        watches: notified of its images; None where it has none.
    """

    def __init__(
        self,
        engine: Engine,
        objects: Objects,
        companions: Companions,
        header: GalleryHeader,
        watches: KeptWatches | None = None,
    ) -> None:
        self._watches = watches
        self._engine = engine
        self._objects = objects
        self._companions = companions
        self._header = header
        self._in_doubt: list[InDoubt] = []
        self._settling = threading.Lock()

    def row(self, image_id: str) -> dict[str, Any] | None:
        """The row of an image without its descriptor; None where it is not enrolled."""
        return row_of(self._engine, image_id)

    def enroll(self, enrollments: Sequence[Enrollment]) -> list[Record]:
        """Add images that were checked, all or none; see `index.gallery.Gallery.enroll_many`."""
        for enrollment in enrollments:
            check_fits(enrollment)
        image_ids = [enrollment.image_id for enrollment in enrollments]
        started = time.monotonic()
        with self._companions.claims.claimed(image_ids) as claim:
            there = {row["image_id"] for row in self._engine.rows(one_of("image_id", image_ids))}
            for image_id in image_ids:
                if image_id in there:
                    raise DuplicateImageError(image_id)
            rows = self._rows(enrollments)
            room = self._companions.room
            reservation = room.reserve(len(rows), sum(row["size"] for row in rows))
            try:
                self._insert(rows, enrollments, claim)
                if not claim.extend() or time.monotonic() - started > LONGEST_S:
                    self._settle(rows, too_late=time.monotonic() - started > LONGEST_S)
            except RowsInDoubtError:
                # The room stays reserved meanwhile.
                self._in_doubt.append(InDoubt(rows, reservation))
                raise
            except BaseException:
                self._then("give the room back", lambda: room.cancel(reservation))
                raise
            watches = self._watches
            if watches is not None:
                record_ids = [row["record_id"] for row in rows]
                self._then("tell the watches", lambda: watches.enrolled(record_ids))
            self._then("count the room", lambda: room.count(reservation))
            self._then("count the cameras", lambda: self._count_cameras(rows))
        return [to_record(row, self._header.fingerprint) for row in rows]

    def settle(self) -> None:
        """Count the rows in doubt that are there, and give back the room of those that are not.

        Raises GalleryError where Milvus or the shared store is still away; the rows stay in doubt.
        """
        with self._settling:
            while self._in_doubt:
                doubt = self._in_doubt[0]
                # So that nobody deletes what is about to be counted.
                with self.held([row["image_id"] for row in doubt.rows]):
                    self._settle_one(doubt)
                del self._in_doubt[0]

    def _settle_one(self, doubt: InDoubt) -> None:
        there = existing(self._engine, [row["record_id"] for row in doubt.rows])
        if len(there) < len(doubt.rows):
            # Of a change of several requests some rows may be there: the sweep counts them.
            self._companions.room.cancel(doubt.reservation)
            return
        self._companions.room.count(doubt.reservation)
        self._then("count the cameras", lambda: self._count_cameras(doubt.rows))
        log.warning("%d images are enrolled that were refused when Milvus went away", len(there))

    def delete(self, image_id: str) -> None:
        """Remove an image. Raises UnknownImageError."""
        check_id(image_id)
        if not self.delete_of([image_id]):
            raise UnknownImageError(image_id)

    def delete_of(self, image_ids: Sequence[str], condition: str | None = None) -> int:
        """Remove images, those that meet a condition still; how many of the ids there were."""
        # What is deleted has to have been counted.
        self.settle()
        with self.held(image_ids):
            wanted = one_of("image_id", image_ids)
            expression = wanted if condition is None else f"{wanted} and ({condition})"
            rows = list(self._engine.rows(expression, descriptors=True))
            self._remove(rows)
        return len({row["image_id"] for row in rows})

    def update(self, image_id: str, amendment: Amendment, was: Record | None = None) -> Record:
        """Change what is known of an image; its record as it is now.

        Raises UnknownImageError and ChangedImageError.
        """
        check_id(image_id)
        with self.held([image_id]) as claim:
            found = row_of(self._engine, image_id, descriptors=True)
            if found is None:
                raise UnknownImageError(image_id)
            before = to_record(found, self._header.fingerprint)
            if was is not None and before != was:
                raise ChangedImageError(image_id)
            after = replace(before, **amendment)
            check_fits(after)
            row = amended(found, after)
            after = to_record(row, self._header.fingerprint)
            if after == before:
                return before
            self.replace([row], claim)
            if after.camera_id != before.camera_id:
                moved = [row["descriptor"]]
                self._then("count", lambda: self._companions.sums.deleted([before.camera_id], moved))
                self._then("count", lambda: self._companions.sums.enrolled([after.camera_id], moved))
            return after

    def replace(self, rows: Sequence[Mapping[str, Any]], claim: Claim) -> None:
        """Put rows in the place of those of the same numbers, which are claimed. Raises MilvusError."""
        if not claim.extend():
            raise _lost()
        self._engine.replace(rows)

    @contextmanager
    def held(self, image_ids: Sequence[str]) -> Iterator[Claim]:
        """Claim ids, and wait for whoever holds one of them now. Raises MilvusError after `PATIENCE_S`."""
        until = time.monotonic() + PATIENCE_S
        while True:
            claiming = self._companions.claims.claimed(image_ids)
            try:
                claim = claiming.__enter__()
                break
            except DuplicateImageError as error:
                if time.monotonic() > until:
                    raise MilvusError(
                        f"image_id {error.image_id!r} is being changed by another request; try again"
                    ) from None
                time.sleep(PAUSE_S)
        with _entered(claiming):
            yield claim

    def _rows(self, enrollments: Sequence[Enrollment]) -> list[dict[str, Any]]:
        first = self._companions.numbers.draw(len(enrollments))
        descriptors = as_stored(np.stack([enrollment.descriptor for enrollment in enrollments]))
        now = datetime.now(UTC)
        return [
            to_row(first + place, enrollment, now, descriptor)
            for place, (enrollment, descriptor) in enumerate(zip(enrollments, descriptors, strict=True))
        ]

    def _insert(
        self, rows: Sequence[Mapping[str, Any]], enrollments: Sequence[Enrollment], claim: Claim
    ) -> None:
        contents: dict[str, bytes] = {}
        for row, enrollment in zip(rows, enrollments, strict=True):
            contents[image_name(row["record_id"])] = enrollment.image
            strips = strips_bytes(enrollment)
            if strips is not None:
                contents[strips_name(row["record_id"])] = strips
        try:
            self._objects.write(contents)
            if self._watches is not None:
                self._watches.owe([row["record_id"] for row in rows])
            if not claim.extend():
                raise _lost()
        except BaseException:
            self._then("take objects back", lambda: self._objects.remove(list(contents)))
            raise
        try:
            self._engine.insert(rows)
        except BaseException as error:
            # The rows may be there all the same, or come later: the sweep sees to the objects.
            try:
                self._engine.delete([row["record_id"] for row in rows])
            except MilvusError:
                raise RowsInDoubtError(str(error)) from error
            raise

    def _settle(self, rows: Sequence[Mapping[str, Any]], *, too_late: bool) -> None:
        """After an insert whose claim was lost: of rows of one id the one of the latest claim stays."""
        last: dict[str, int] = {}
        try:
            for row in self._engine.rows(one_of("image_id", [row["image_id"] for row in rows])):
                last[row["image_id"]] = row["record_id"]
            later = [row["image_id"] for row in rows if last.get(row["image_id"], 0) > row["record_id"]]
            if later or too_late:
                self._engine.delete([row["record_id"] for row in rows])
        except MilvusError as error:
            raise RowsInDoubtError(str(error)) from error
        if later or too_late:
            self._then("take objects back", lambda: self._objects.remove(_names(rows)))
            if later:
                raise DuplicateImageError(later[0])
            raise _lost()

    def _remove(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        record_ids = [row["record_id"] for row in rows]
        # Before the rows: what a frame shows must not outlive them, and no sweep could tell.
        self._remove_frames(rows)
        images = self._probed(rows)
        companions, watches = self._companions, self._watches
        if watches is not None:
            # Before the rows, too: without them nobody knows whose bytes a watch's file has.
            watches.forget_copies(sorted({row["digest"] for row in rows}))
        self._engine.delete(record_ids)
        if watches is not None:
            self._then("forget watches", lambda: watches.forget(record_ids))
        self._then("forget verdicts", lambda: companions.verdicts.forget(record_ids, images))
        self._then("remove objects", lambda: self._objects.remove(_names(rows)))
        size = sum(row["size"] for row in rows)
        self._then("give the room back", lambda: companions.room.release(len(rows), size))
        cameras = [to_record(row, self._header.fingerprint).camera_id for row in rows]
        descriptors = [row["descriptor"] for row in rows]
        self._then("count the cameras", lambda: companions.sums.deleted(cameras, descriptors))

    def _remove_frames(self, rows: Sequence[Mapping[str, Any]]) -> None:
        digests = {row["frame_digest"] for row in rows if row["frame_digest"]}
        if digests:
            shown = self._engine.rows(one_of("frame_digest", digests))
            frames = self._objects.read_many(sorted({row["frame"] for row in shown}))
            self._objects.remove(list(frames))
            size = sum(map(len, frames.values()))
            self._then("give the room back", lambda: self._companions.room.release(0, size))

    def _probed(self, rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """The images' files, where there are verdicts: a probe may be one of them."""
        if not self._companions.verdicts.page(limit=1).verdicts:
            return []
        return list(self._objects.read_many([image_name(row["record_id"]) for row in rows]).values())

    def _count_cameras(self, rows: Sequence[Mapping[str, Any]]) -> None:
        cameras = [to_record(row, self._header.fingerprint).camera_id for row in rows]
        self._companions.sums.enrolled(cameras, [row["descriptor"] for row in rows])

    def _then(self, what: str, step: Callable[[], object]) -> None:
        """Do what comes after the acknowledgement; where it fails, the change stays made."""
        try:
            step()
        except Exception:
            log.exception("could not %s after a change of the gallery, which stays made", what)


def row_of(engine: Engine, image_id: str, *, descriptors: bool = False) -> dict[str, Any] | None:
    """The row of an image; None where it is not enrolled."""
    if not is_id(image_id):
        return None
    found = list(engine.rows(f"image_id == {literal(image_id)}", descriptors=descriptors))
    return found[-1] if found else None


def existing(engine: Engine, record_ids: Sequence[int]) -> set[int]:
    """Those of these numbers that rows have."""
    return {row["record_id"] for row in engine.rows(numbers(record_ids))} if record_ids else set()


@contextmanager
def _entered(claiming: Any) -> Iterator[None]:
    """The rest of a context that was entered already."""
    try:
        yield
    finally:
        claiming.__exit__(None, None, None)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for row in rows for name in objects_of(row)]


def _lost() -> MilvusError:
    return MilvusError(
        "this change took so long that another one of the same image may have begun; nothing was "
        "changed, try again"
    )
