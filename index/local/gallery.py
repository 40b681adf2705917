"""The gallery on this machine: the database and the vector index as one thing that many threads may use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from index.amendment import Amendment
from index.cameras.estimation import Mode
from index.database.conditions import conditions
from index.database.migration import remove_old_backups
from index.database.schema import describe
from index.errors import GalleryClosedError
from index.filter import ALL, Filter
from index.local.cameras import LocalCameras
from index.local.frames import LocalFrames
from index.local.opening import Parts, opened_parts
from index.local.quotas import LocalQuotas
from index.local.retention import LocalRetention
from index.local.search import search
from index.local.verdicts import LocalVerdicts
from index.local.watches import LocalWatches
from index.local.writing import Writer
from index.record import Enrollment, Found, GalleryHeader, Page, Record
from index.retention import Retention
from index.states import IndexState
from index.validation import (
    check_amendment,
    check_enrollments,
    check_filter,
    check_limit,
    check_search,
)
from index.vectors.kind import IndexSetup
from index.vectors.vectors import Vectors

DELETED_AT_ONCE: Final = 256
"""Images that one transaction deletes."""
SETUP: Final = IndexSetup()

log = logging.getLogger(__name__)


class LocalGallery:
    """A `Gallery` in a folder of this machine. Open one with `LocalGallery.open`.

    A change is acknowledged (its method returns) once SQLite has committed it and the vector index
    has followed; if the index cannot follow, it is filled anew from the database before it is
    searched again. What needs the database raises GalleryClosedError after `close`. sqlite3.Error
    passes through where the disk fails; the change was not made then.
    """

    def __init__(self, parts: Parts) -> None:
        self._header = header = parts.header
        self._mirror = mirror = parts.mirror
        self._store = mirror.store
        self._writer = Writer(mirror)
        self._snapshots = parts.snapshots
        self._renewal = parts.renewal
        self._reindexing = parts.reindexing
        self._erasure = erasure = parts.erasure
        self.retention = Retention(LocalRetention(mirror, self._delete))
        self.cameras = LocalCameras(mirror, parts.renewal, header, erasure.deleted)
        self.verdicts = LocalVerdicts(mirror, erasure.deleted)
        self.frames = LocalFrames(mirror)
        self.watches = LocalWatches(mirror, header, erasure.deleted)
        self.quotas = LocalQuotas(mirror)
        self._lock = parts.lock
        self._closing = threading.Lock()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        fingerprint: str,
        supersedes: Sequence[str] = (),
        descriptor_dim: int,
        strips_shape: tuple[int, int] | None,
        snapshot_every: int = 1000,
        use_snapshot: bool = True,
        normalisation: Mode | None = None,
        index: IndexSetup = SETUP,
    ) -> LocalGallery:
        """Open the gallery in the folder `path`, which is created if absent.

        It belongs to the model with this fingerprint, whose descriptors are float32 [descriptor_dim]
        and whose strips are float16 `strips_shape`, None without a second stage. A thread writes a
        snapshot of the index after `snapshot_every` changes, or after as many as make a tenth of the
        gallery if that is more. Without `use_snapshot` the index is built from the database in any case.

        `normalisation` says whether cameras are taken out of descriptors (see `index.cameras.estimation`);
        None leaves the version that is in force. `index` says which kind of vector index is used.

        A gallery under one of the fingerprints in `supersedes` holds what this model would give, and belongs
        to it from then on. One that an earlier version wrote is brought to the present schema; a backup is
        made first (see `index.database.migration`).

        Raises FingerprintMismatchError, GalleryShapeError, GallerySchemaError, GalleryDamagedError,
        GalleryLockedError, GalleryLossError, GalleryFullError, GalleryMigrationError; what the gallery holds
        is then left as it was.
        """
        if snapshot_every < 1:
            raise ValueError(f"snapshot_every is {snapshot_every}, expected 1 or more")
        header = GalleryHeader(
            fingerprint, descriptor_dim, None if strips_shape is None else (strips_shape[0], strips_shape[1])
        )
        with opened_parts(
            path,
            header,
            supersedes,
            index,
            normalisation,
            snapshot_every=snapshot_every,
            use_snapshot=use_snapshot,
        ) as parts:
            gallery = cls(parts)
        parts.snapshots.write_if_due()
        parts.renewal.opened()
        parts.reindexing.look()
        _tell(gallery.index_state())
        parts.erasure.opened()
        gallery.retention.opened()
        remove_old_backups(path)
        return gallery

    @staticmethod
    def describe(path: Path) -> GalleryHeader:
        """Fingerprint and shapes of the gallery in `path`, for opening it as what it is.

        Raises FileNotFoundError, GallerySchemaError or GalleryDamagedError.
        """
        return describe(path)

    @property
    def header(self) -> GalleryHeader:
        """Fingerprint and shapes that the gallery was opened with."""
        return self._header

    def enroll(self, enrollment: Enrollment) -> Record:
        """Add an image. Raises InvalidEnrollmentError, DuplicateImageError or GalleryFullError."""
        return self.enroll_many([enrollment])[0]

    def enroll_many(self, enrollments: Sequence[Enrollment]) -> list[Record]:
        """Add images in one transaction: all, or none where one cannot be.

        Raises InvalidEnrollmentError or DuplicateImageError, for the first that is at fault, and
        GalleryFullError.
        """
        self._require_open()
        check_enrollments(enrollments, self._header)
        if not enrollments:
            return []
        records = self._writer.enroll(enrollments)
        self._snapshots.write_if_due()
        self._renewal.changed(len(enrollments))
        self._reindexing.look()
        self.watches.enrolled()
        return records

    def delete(self, image_id: str) -> None:
        """Remove an image and all that belongs to it. Raises UnknownImageError."""
        self._writer.delete(image_id)
        self._forgotten(1)

    def delete_where(self, where: Filter, most: int | None = None) -> int:
        """Remove images that a filter lets through, `most` at most; how many there were.

        They go in transactions of `DELETED_AT_ONCE`, between which others go on. Raises InvalidFilterError.
        """
        self._require_open()
        check_filter(where)
        return self._delete(*conditions(where), most)

    def update(self, image_id: str, amendment: Amendment, was: Record | None = None) -> Record:
        """Change what is known of an image; its record as it is now.

        Raises InvalidEnrollmentError, UnknownImageError, ChangedImageError, DamagedImageError,
        QuotaReachedError or GalleryFullError.
        """
        self._require_open()
        check_amendment(amendment)
        done = self._writer.update(image_id, amendment, was)
        if done.sequence:
            self._forgotten(1)
        return done.record

    def erase(self, *, in_use: bool = True) -> None:
        """See to it now that what is deleted is in no file of the folder any more; see `index.local.erasure`.

        A thread does so a minute after a deletion. Where not `in_use`, changes may have to wait long.

        Raises NotErasedError where something stays for now, GalleryFullError, and OSError.
        """
        self._erasure.erase(in_use=in_use)

    def compact(self) -> None:
        """Write the database anew, without the room of images that are gone; changes wait for it.

        Raises GalleryFullError.
        """
        with self._mirror.settled():
            self._store.write_anew(all_of_it=True)
            self._store.empty_log()

    def unerased_seconds(self) -> float:
        """s since the first deletion that is not erased from every file; 0 where there is none."""
        return self._erasure.pending_seconds()

    def get(self, image_id: str) -> Record:
        """The record of an image. Raises UnknownImageError."""
        return self._store.record(image_id)

    def image(self, image_id: str) -> tuple[bytes, str]:
        """The image file's bytes as enrolled, and its media type. Raises UnknownImageError."""
        return self._store.image(image_id)

    def same_image(self, data: bytes, limit: int = 10) -> list[str]:
        """Ids of enrolled images with these very bytes, in order of enrollment, `limit` at most."""
        return self._store.same_image(data, limit)

    def count(self, where: Filter = ALL) -> int:
        """How many images are enrolled, and let through by the filter."""
        self._require_open()
        check_filter(where)
        if where.is_all():
            return self._vectors.count
        with self._store.moment() as moment:
            return moment.count(where)

    def page(self, after: int | None = None, limit: int = 100, *, where: Filter = ALL) -> Page:
        """Up to `limit` records in order of enrollment, from the start or after a page's `next`.

        Only those that the filter lets through. The cursor is a number that only counts up, not an image: it
        stays good when the image it came from is deleted, and nothing is shown twice or left out. Raises
        ValueError for a limit below 1.
        """
        check_limit(limit)
        check_filter(where)
        return self._store.page(after, limit, where)

    def search(
        self,
        descriptors: NDArray[np.float32],
        k: int,
        *,
        where: Filter = ALL,
        strips: int = 0,
        cameras: Sequence[str | None] | None = None,
    ) -> list[Found]:
        """The k most similar images for each of the probes [B, d], best first, exactly; see `Gallery`."""
        self._require_open()
        if k < 1:
            raise ValueError(f"k is {k}, expected 1 or more")
        check_search(descriptors, self._header, where, strips, cameras)
        probe_cameras = [None] * len(descriptors) if cameras is None else list(cameras)
        return search(self._mirror, descriptors, probe_cameras, k, strips, where)

    def strips(self, record_ids: Sequence[int]) -> list[NDArray[np.float16] | None]:
        """Strips float16 [s, w] of records, as a search adds them; None for one without or of the past."""
        with self._store.moment() as moment:
            found = moment.strips(set(record_ids))
        return [found.get(record_id) for record_id in record_ids]

    def snapshot(self) -> None:
        """Write the vector index to disk, so that the next opening need not build it.

        Searches, enrollments and deletions go on meanwhile. Raises OSError where it cannot be written;
        the former snapshot then stays.
        """
        self._snapshots.write()

    def wait_for_snapshot(self) -> None:
        """Wait until the snapshot that is due or under way, if any, has been written or has failed."""
        self._snapshots.wait()

    def snapshot_age_seconds(self) -> float | None:
        """Seconds since the snapshot on disk was written, None where there is none."""
        return self._snapshots.age_seconds()

    def changes_since_snapshot(self) -> int:
        """Enrollments and deletions that the snapshot on disk does not hold, all where there is none."""
        return self._snapshots.changes_since()

    def index_state(self) -> IndexState:
        """The vector index: its kind, memory, and whether another one is being made."""
        return self._reindexing.state

    def wait_for_index(self) -> None:
        """Wait until the kind of index that is wanted has been made, or has failed."""
        self._reindexing.wait()

    def fault(self) -> str | None:
        """What keeps the gallery from taking or giving images, with the remedy; None where nothing does."""
        self._require_open()
        return self._store.fault()

    def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Finish what is under way, close every connection and let the next process in. Idempotent.

        A snapshot that is still being copied out is abandoned: the next opening catches up. `last` is done
        when everything is closed and the next process is not let in yet; what it raises passes through.
        """
        self.retention.close()
        self._reindexing.close()
        self._renewal.close()
        self._erasure.close()
        self._snapshots.close()
        with self._closing:
            if not self._mirror.closed:
                self._mirror.close()
                self._erasure.release()
                try:
                    last()
                finally:
                    self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _delete(self, condition: str, values: Sequence[Any], most: int | None = None) -> int:
        count = 0
        while (most is None or count < most) and not self.retention.closing:
            size = DELETED_AT_ONCE if most is None else min(DELETED_AT_ONCE, most - count)
            deleted = self._writer.delete_some(condition, values, size)
            if not deleted:
                break
            count += deleted
            self._forgotten(deleted)
        return count

    def _forgotten(self, count: int) -> None:
        """So many images are gone, or are known otherwise: what follows from it is begun."""
        self._snapshots.write_if_due()
        self._renewal.changed(count)
        self._reindexing.look()
        self._erasure.deleted()

    @property
    def _vectors(self) -> Vectors:
        return self._mirror.vectors

    def _require_open(self) -> None:
        if self._mirror.closed:
            raise GalleryClosedError


def _tell(index: IndexState) -> None:
    why = "" if index.gpu_left_out is None else f"; no GPU is used: {index.gpu_left_out}"
    log.info("the vector index is of kind %s, searched on the %s%s", index.kind, index.device, why)
