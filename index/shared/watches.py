"""The watches of a collection in the shared store, with their files, descriptors and secrets.

Redis knows no enrolled images: who writes and deletes them tells (`index.milvus.writing`). A watch that is
made of an image looks at it once more after it was written, so that of a watch and a deletion at the same
moment nothing is left; what a replica left that ended in between, `sweep` removes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.errors import DamagedImageError, UnknownImageError, UnknownWatchError
from index.milvus.companions import Enrolled
from index.record import GalleryHeader, Record
from index.shared.alerts import SharedAlerts
from index.shared.owed import Owed
from index.shared.quotas import SharedQuotas
from index.shared.store import SharedStore
from index.shared.watchrows import WatchRow, WatchRows
from index.shared.watchscripts import WatchScripts
from index.validation import check_probes, storable
from index.verdicts import digest_of
from index.watches import ROOM, NewWatch, Raised, Sightings, Watch, Watched, WatchState

FORGOTTEN_S: Final = 3600.0
"""s after which a number that has no row will have none: as `index.milvus.sweep.GRACE_S`."""
SWEPT: Final = 1000
"""Numbers that a sweep looks up at a time."""


class SharedWatches:
    """See `index.gallery_watches.GalleryWatches`; and what the gallery tells of its images.

    Args:
        store: where they are.
        collection: the token of the collection.
        header: of the gallery.
        enrolled: its images.
        quotas: of the collection; files count.
        forgotten: called after something was forgotten, so that it is erased from the store's file too.
    """

    def __init__(
        self,
        store: SharedStore,
        collection: str,
        header: GalleryHeader,
        enrolled: Enrolled,
        quotas: SharedQuotas,
        forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._scripts = WatchScripts(store, collection)
        self._header = header
        self._enrolled = enrolled
        self._quotas = quotas
        self._forgotten = forgotten
        self._rows = WatchRows(self._scripts)
        self._owed = Owed(self._scripts)
        self._tell: Callable[[], None] = lambda: None
        self._descriptors: dict[int, NDArray[np.float32]] = {}
        self.alerts = SharedAlerts(self._scripts, enrolled)

    def on_enrolled(self, tell: Callable[[], None]) -> None:
        """Have `tell` called after each enrollment by this replica, from its thread."""
        self._tell = tell

    def add(self, new: NewWatch) -> Watch:
        """Keep a watch; see `GalleryWatches.add`. Raises SharedStoreError, too."""
        if new.descriptor is not None:
            check_probes(new.descriptor[np.newaxis], self._header)
        record, descriptor = None, new.descriptor
        if new.image_id is not None:
            record = self._enrolled.number(new.image_id) if storable(new.image_id) else None
            found = None if record is None else self._enrolled.descriptors([record]).get(record)
            if found is None:
                raise UnknownImageError(new.image_id)
            descriptor = found[1]
        if descriptor is None:
            raise ValueError("a watch is made of an enrolled image, or of a file and its descriptor")
        reservation = self._quotas.reserve(0, len(new.data or b"") + ROOM)
        watch_id = None
        try:
            watch_id = self._rows.add(new, record, descriptor)
        finally:
            (self._quotas.cancel if watch_id is None else self._quotas.count)(reservation)
        if new.image_id is not None and self._enrolled.number(new.image_id) != record:
            self._remove(watch_id)
            raise UnknownImageError(new.image_id)
        return self.get(watch_id)

    def get(self, watch_id: int) -> Watch:
        """A watch. Raises UnknownWatchError and SharedStoreError."""
        for watch in self._shown(self._rows.read(watch_id)):
            return watch
        raise UnknownWatchError(watch_id)

    def all(self) -> list[Watch]:
        """All watches, in order. Raises SharedStoreError."""
        return self._shown(self._rows.read())

    def image(self, watch_id: int) -> tuple[bytes, str]:
        """The file that a watch was made of, and its media type; see `GalleryWatches.image`."""
        watch = self.get(watch_id)
        if watch.image_id is not None:
            return self._enrolled.image(watch.image_id)
        data = self._rows.file(watch_id)
        for kept in self._rows.read(watch_id):
            if data is None or digest_of(data) != kept.fields["digest"]:
                raise DamagedImageError(str(watch_id), "watch's file")
            return data, str(kept.fields["media_type"])
        raise UnknownWatchError(watch_id)

    def webhook(self, watch_id: int) -> tuple[str, str] | None:
        """Webhook and secret of a watch; None where it has none, or is gone. Raises SharedStoreError."""
        return self._rows.webhook(watch_id)

    def remove(self, watch_id: int) -> None:
        """Forget a watch and its alerts. Raises UnknownWatchError and SharedStoreError."""
        if not self._remove(watch_id):
            raise UnknownWatchError(watch_id)
        self._forgotten()

    def watched(self) -> list[Watched]:
        """What new images are compared with, in order; descriptors, which never change, are read once."""
        rows = self._rows.read()
        records = self._records(rows)
        known = {row.id: self._descriptors[row.id] for row in rows if row.id in self._descriptors}
        known |= self._rows.descriptors([row.id for row in rows if row.id not in known])
        self._descriptors = known
        watched = []
        for row in rows:
            record = None if row.record is None else records.get(row.record)
            if row.id in known and (row.record is None) == (record is None):
                camera_id = row.camera_id(record)
                watched.append(
                    Watched(row.id, row.after, known[row.id], camera_id, row.threshold, row.cameras)
                )
        return watched

    def unchecked(self, limit: int) -> Sightings | None:
        """Images that no watch has looked at, for this replica alone for a while; see `GalleryWatches`."""
        while taken := self._owed.take(limit):
            found = self._enrolled.descriptors([one.number for one in taken])
            unplaced = [one.number for one in taken if one.place is None and one.number in found]
            self._owed.acknowledge(unplaced)
            # Also of one that has a place: a row that is being replaced may be away for a moment.
            absent = [one for one in taken if one.number not in found]
            self._owed.settle([one.number for one in absent if one.age_s > FORGOTTEN_S])
            self._owed.defer([one.number for one in absent if one.age_s <= FORGOTTEN_S])
            ready = sorted(
                (one.number, one.place) for one in taken if one.number in found and one.place is not None
            )
            if ready:
                numbers = [number for number, _ in ready]
                return Sightings(
                    last=numbers[-1],
                    ids=np.array(numbers, np.int64),
                    places=np.array([place for _, place in ready], np.int64),
                    cameras=[found[number][0] for number in numbers],
                    descriptors=np.stack([found[number][1] for number in numbers]),
                )
        return None

    def raised(self, alerts: Sequence[Raised], found: Sightings) -> list[int]:
        """Keep alerts, and that images are looked at; see `GalleryWatches.raised`."""
        made = self.alerts.raise_all(alerts)
        self._owed.settle(found.ids.tolist())
        return made

    def state(self) -> WatchState:
        """How many watches and deliveries there are, and how far behind the watches are."""
        with self._store.client() as client:
            count = int(client.hlen(self._scripts.key("watches")))
        _, waiting, dead = self.alerts.waiting()
        behind = self._enrolled.records(self._owed.oldest(16)) if count else {}
        since = behind[min(behind)].enrolled_at if behind else None
        return WatchState(count, waiting, dead, since)

    def owe(self, record_ids: Sequence[int]) -> None:
        """Rows of these numbers are about to be written. Raises SharedStoreError: write none."""
        self._owed.owe(record_ids)

    def enrolled(self, record_ids: Sequence[int]) -> None:
        """They are written: watches look at them."""
        try:
            self._owed.acknowledge(record_ids)
        finally:
            self._tell()

    def forget_copies(self, digests: Sequence[str]) -> None:
        """Forget watches of files with the bytes of images (SHA-256, in hex) that are about to be deleted."""
        self._forget("copies", digests)

    def forget(self, record_ids: Sequence[int]) -> None:
        """Forget what is kept of images that were just deleted: watches made of them, and their alerts."""
        self._owed.settle(record_ids)
        self._forget("made-of", [str(number) for number in record_ids])
        if self.alerts.forget_records(record_ids):
            self._forgotten()

    def sweep(self) -> int:
        """Forget what replicas left that ended in between; how many watches and images that concerns."""
        with self._store.client() as client:
            named = {
                int(member.partition(b":")[0])
                for name in ("made-of", "by-record")
                for member, _ in client.zscan_iter(self._scripts.key(name), count=SWEPT)
            }
        numbers, removed = sorted(named), self._rows.unfinished()
        gone: list[int] = []
        for first in range(0, len(numbers), SWEPT):
            piece = numbers[first : first + SWEPT]
            there = self._enrolled.records(piece)
            gone += [number for number in piece if number not in there]
        self.forget(gone)
        for watch_id in removed:
            self._finish(watch_id)
        return len(gone) + len(removed)

    def _forget(self, which: str, names: Sequence[str]) -> None:
        removed = [self._remove(watch_id) for watch_id in self._rows.of(which, names)]
        if any(removed):
            self._forgotten()

    def _remove(self, watch_id: int) -> bool:
        size = self._rows.remove(watch_id)
        if size is None:
            return False
        self._quotas.release(0, size + ROOM)
        self._finish(watch_id)
        return True

    def _finish(self, watch_id: int) -> None:
        self.alerts.forget_watch(watch_id)
        self._rows.finished(watch_id)

    def _records(self, rows: Sequence[WatchRow]) -> dict[int, Record]:
        numbers = {row.record for row in rows if row.record is not None}
        return self._enrolled.records(sorted(numbers)) if numbers else {}

    def _shown(self, rows: Sequence[WatchRow]) -> list[Watch]:
        records = self._records(rows)
        with self._store.understood("a watch"):
            return [
                row.shown(None if row.record is None else records[row.record])
                for row in rows
                if row.record is None or row.record in records
            ]
