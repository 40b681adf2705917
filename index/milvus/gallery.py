"""The gallery on Milvus: any number of replicas may have it open, and none keeps anything of its own.

`index.milvus.writing` says in which order a change is made, and which step acknowledges it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from index.amendment import Amendment
from index.cameras.sums import NO_CAMERA, Sums
from index.errors import (
    DamagedImageError,
    GalleryClosedError,
    GalleryError,
    UnknownImageError,
)
from index.filter import ALL, Filter
from index.gallery import GalleryVerdicts
from index.gallery_watches import GalleryWatches
from index.milvus.cameras import MilvusCameras
from index.milvus.companions import Companions
from index.milvus.engine import DEEPEST, Engine
from index.milvus.enrolled import MilvusEnrolled
from index.milvus.expression import EVERYTHING, expression, literal
from index.milvus.frames import MilvusFrames
from index.milvus.place import Place
from index.milvus.retention import MilvusRetention
from index.milvus.row import digest, image_name, to_record
from index.milvus.searching import search
from index.milvus.sweep import GRACE_S, Swept, sweep
from index.milvus.writing import Writer
from index.objects import UnknownObjectError
from index.quota import Usage
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

DELETED_AT_ONCE: Final = 256
SWEPT_EVERY_S: Final = 6 * 3600.0
SETTLED_EVERY_S: Final = 5.0
"""s after which it is tried again to see what became of an insert that Milvus did not answer."""
SETTLE_S: Final = 30.0
"""s within which a change that was made is counted."""

log = logging.getLogger(__name__)


class MilvusGallery:
    """A `Gallery` on Milvus. Open one with `open_milvus_gallery`.

    MilvusError and ObjectStoreError pass through where one of the two does not answer. An image id, a name
    and a tag have 4,095 bytes at most, and an image 256 tags.

    Args:
        engine: the rows, ready.
        place: of its objects.
        companions: what is kept beside them.
        header: of the gallery.
    """

    def __init__(self, engine: Engine, place: Place, companions: Companions, header: GalleryHeader) -> None:
        self._engine = engine
        self._place = place
        self._objects = objects = place.objects
        self._companions = companions
        self._header = header
        self._watches = (
            None
            if companions.open_watches is None
            else companions.open_watches(MilvusEnrolled(engine, header, self.image), header)
        )
        self._writer = Writer(engine, objects, companions, header, self._watches)
        self.cameras = MilvusCameras(companions.sums, header)
        self.verdicts: GalleryVerdicts = companions.verdicts
        self.quotas = companions.room
        self.frames = MilvusFrames(engine, objects, companions, self._writer)
        self.retention = Retention(MilvusRetention(engine, companions.settings, self._delete))
        self._closing = threading.Event()
        self._deleted_at: float | None = None
        self._sweeper = threading.Thread(target=self._sweep_for_ever, name="gallery-sweep", daemon=True)

    def opened(self) -> None:
        """Begin to look for what is too old and for what was left; returns at once."""
        self.retention.opened()
        self._sweeper.start()

    @property
    def header(self) -> GalleryHeader:
        """Fingerprint and shapes that the gallery was opened with."""
        return self._header

    @property
    def watches(self) -> GalleryWatches:
        """Vehicles that new images are compared with. Raises GalleryError where nothing keeps them."""
        if self._watches is None:
            raise GalleryError("a gallery on Milvus keeps watches in a shared store, and this one has none")
        return self._watches

    def record_of(self, image_id: str) -> int | None:
        """The number of an image's enrollment; None where it is not enrolled."""
        row = self._row(image_id)
        return None if row is None else int(row["record_id"])

    def enroll(self, enrollment: Enrollment) -> Record:
        """Add an image; see `Gallery.enroll`."""
        return self.enroll_many([enrollment])[0]

    def enroll_many(self, enrollments: Sequence[Enrollment]) -> list[Record]:
        """Add images, all or none; see `Gallery.enroll_many`."""
        self._require_open()
        check_enrollments(enrollments, self._header)
        return self._writer.enroll(enrollments) if enrollments else []

    def delete(self, image_id: str) -> None:
        """Remove an image and all that belongs to it. Raises UnknownImageError."""
        self._require_open()
        self._writer.delete(image_id)
        self._deleted()

    def delete_where(self, where: Filter, most: int | None = None) -> int:
        """Remove images that a filter lets through, `most` at most; how many there were."""
        self._require_open()
        check_filter(where)
        return self._delete(expression(where), most)

    def update(self, image_id: str, amendment: Amendment, was: Record | None = None) -> Record:
        """Change what is known of an image; see `Gallery.update`."""
        self._require_open()
        check_amendment(amendment)
        record = self._writer.update(image_id, amendment, was)
        self._deleted()
        return record

    def get(self, image_id: str) -> Record:
        """The record of an image. Raises UnknownImageError."""
        row = self._row(image_id)
        if row is None:
            raise UnknownImageError(image_id)
        return to_record(row, self._header.fingerprint)

    def image(self, image_id: str) -> tuple[bytes, str]:
        """The image file's bytes as enrolled, and its media type. Raises UnknownImageError."""
        row = self._row(image_id)
        if row is None:
            raise UnknownImageError(image_id)
        try:
            data = self._objects.read(image_name(row["record_id"]))
        except UnknownObjectError:
            if self.record_of(image_id) != row["record_id"]:  # deleted meanwhile
                raise UnknownImageError(image_id) from None
            raise DamagedImageError(image_id, "image") from None
        if digest(data) != row["digest"]:
            raise DamagedImageError(image_id, "image")
        return data, str(row["media_type"])

    def same_image(self, data: bytes, limit: int = 10) -> list[str]:
        """Ids of enrolled images with these very bytes, in order of enrollment, `limit` at most."""
        self._require_open()
        rows = self._engine.rows(f"digest == {literal(digest(data))}", limit=limit)
        return [str(row["image_id"]) for row in rows]

    def count(self, where: Filter = ALL) -> int:
        """How many images are enrolled, and let through by the filter."""
        self._require_open()
        check_filter(where)
        return self._engine.count(expression(where))

    def page(self, after: int | None = None, limit: int = 100, *, where: Filter = ALL) -> Page:
        """Up to `limit` records in order of enrollment; see `Gallery.page`.

        An image that another replica is enrolling at that moment may come to stand before the cursor.
        """
        self._require_open()
        check_limit(limit)
        check_filter(where)
        start = -1 if after is None else after
        if start >= 2**63 - 1:
            return Page((), None)
        rows = list(self._engine.rows(expression(where), after=max(start, -1), limit=limit + 1))
        shown = rows[:limit]
        records = tuple(to_record(row, self._header.fingerprint) for row in shown)
        return Page(records, int(shown[-1]["record_id"]) if len(rows) > limit else None)

    def search(
        self,
        descriptors: NDArray[np.float32],
        k: int,
        *,
        where: Filter = ALL,
        strips: int = 0,
        cameras: Sequence[str | None] | None = None,
    ) -> list[Found]:
        """The k most similar images for each of the probes [B, d], best first; see `Gallery`.

        Exact where the index is FLAT. Raises ValueError for a k above 16,384, too.
        """
        self._require_open()
        if not 1 <= k <= DEEPEST:
            raise ValueError(f"k is {k}, expected 1 or more, and at most {DEEPEST:,} of Milvus")
        check_search(descriptors, self._header, where, strips, cameras)
        return search(self._engine, self._objects, self._header, descriptors, k, strips, where)

    def snapshot_age_seconds(self) -> float | None:
        """None: Milvus keeps its index itself."""
        return None

    def changes_since_snapshot(self) -> int:
        """0: Milvus keeps its index itself."""
        return 0

    def unerased_seconds(self) -> float:
        """s since the first deletion by this replica; 0 before it.

        Milvus takes deleted rows out of its files when it compacts them, and does not say when it has.
        """
        return 0.0 if self._deleted_at is None else time.monotonic() - self._deleted_at

    def index_state(self) -> IndexState:
        """The vector index; where it is and how numbers are stored is in `engine`."""
        kind = self._engine.index.kind
        return IndexState(
            kind="flat" if kind == "FLAT" else "hnsw" if kind == "HNSW" else "compressed",
            is_building=False,
            seconds=None,
            memory_bytes=0,
            recent=0,
            left_out=0,
            device="gpu" if kind.startswith("GPU_") else "cpu",
            gpu_left_out=None,
            engine=f"Milvus {self._engine.version}, {kind}, {self._engine.width}",
        )

    def fault(self) -> str | None:
        """What keeps the gallery from taking or giving images, with the remedy; None where nothing does."""
        self._require_open()
        return self._engine.fault() or self._objects.fault()

    def sweep(self, grace_s: float = GRACE_S, settle_s: float = SETTLE_S) -> Swept:
        """Remove what is of no image, objects only where they are older; a thread does so every six hours.

        What images take of a quota is set right, too, where a process died before it counted them.
        """
        self._require_open()
        if self._watches is not None:
            self._watches.sweep()
        # Before all rows are counted, which would count these twice.
        self._writer.settle()
        swept = sweep(self._engine, self._place, self._companions.verdicts, grace_s)
        self._settle_room(settle_s)
        return swept

    def recount(self) -> Usage:
        """Count all images anew, for the quota and for the cameras, while nothing changes; reads all rows."""
        self._require_open()
        images = size = 0
        sums: dict[str, Sums] = {}
        nothing = Sums.nothing(self._header.descriptor_dim)
        for row in self._engine.rows(expression(ALL), descriptors=True):
            images, size = images + 1, size + int(row["size"])
            camera = to_record(row, self._header.fingerprint).camera_id or NO_CAMERA
            sums[camera] = sums.get(camera, nothing) + Sums.of(row["descriptor"][np.newaxis])
        self._companions.room.recount(Usage(images, size))
        self._companions.sums.replace(sums)
        return Usage(images, size)

    def close(self) -> None:
        """Finish what is under way and let the connection go. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        self.retention.close()
        if self._sweeper.is_alive():
            self._sweeper.join()
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _row(self, image_id: str) -> dict[str, Any] | None:
        self._require_open()
        return self._writer.row(image_id)

    def _delete(self, condition: str, most: int | None = None) -> int:
        count, after = 0, -1
        while (most is None or count < most) and not self._closing.is_set():
            size = DELETED_AT_ONCE if most is None else min(DELETED_AT_ONCE, most - count)
            rows = list(self._engine.rows(condition, after=after, limit=size))
            if not rows:
                break
            count += self._writer.delete_of([row["image_id"] for row in rows], condition)
            after = rows[-1]["record_id"]
        if count:
            self._deleted()
        return count

    def _deleted(self) -> None:
        self._deleted_at = self._deleted_at or time.monotonic()

    def _sweep_for_ever(self) -> None:
        due = time.monotonic() + SWEPT_EVERY_S
        while not self._closing.wait(SETTLED_EVERY_S):
            # Where Milvus is still away, it is tried again.
            try:
                self._writer.settle()
            except GalleryError:
                pass
            except Exception:
                log.exception("what is in doubt could not be counted; it is tried again")
            if time.monotonic() < due:
                continue
            due = time.monotonic() + SWEPT_EVERY_S
            try:
                self.sweep()
            except Exception:
                log.exception("what was left could not be looked for; it is tried again")

    def _settle_room(self, settle_s: float) -> None:
        """Count the images for the quota, where there are more or fewer than were counted one by one.

        Whoever deleted a row while they were counted has given its room back after `settle_s`, or is dead.
        """
        room = self._companions.room
        changes, was = room.changes(), room.usage()
        if self._engine.count(EVERYTHING) == was.images:
            return
        images = size = 0
        for row in self._engine.rows(EVERYTHING):
            images, size = images + 1, size + int(row["size"])
        if self._closing.wait(settle_s):
            return
        if room.settle(changes, Usage(images, size)):
            log.warning(
                "the quota counts %d images now, as there are; before, %d, since a process ended between "
                "a change and its count",
                images,
                was.images,
            )

    def _require_open(self) -> None:
        if self._closing.is_set():
            raise GalleryClosedError
