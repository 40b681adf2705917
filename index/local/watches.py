"""The watches of a gallery on this machine, and what they have not looked at yet."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.database.changes import DESCRIPTORS, described
from index.database.checksums import digest
from index.database.rows import to_datetime, to_microseconds
from index.database.setting import read_setting, write_setting
from index.database.watches import CAMERA, SELECT_WATCH, read_watch
from index.errors import (
    DamagedImageError,
    GalleryDamagedError,
    TooManyWatchesError,
    UnknownImageError,
    UnknownWatchError,
)
from index.local.alerts import LocalAlerts
from index.local.mirror import Mirror
from index.record import GalleryHeader
from index.validation import check_probes, storable
from index.watches import (
    CHECKED,
    MOST_ALERTS,
    MOST_WATCHES,
    ROOM,
    NewWatch,
    Raised,
    Sightings,
    Watch,
    Watched,
    WatchState,
)

LAST_RECORD = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'"
INSERT_WATCH = (
    "INSERT INTO watch (name, record_id, digest, media_type, data, descriptor, camera_id, threshold, "
    "cameras, webhook, secret, after_record, created_at, created_by) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
# Of what was deleted meanwhile nothing is raised, and of a pair that has an alert none again.
INSERT_ALERT = (
    "INSERT OR IGNORE INTO alert (watch_id, record_id, similarity, threshold, raised_at, delivery, due_at) "
    "SELECT watch.id, record.id, ?, ?, ?3, iif(webhook IS NULL, NULL, 'waiting'), "
    "iif(webhook IS NULL, NULL, ?3) FROM watch, record WHERE watch.id = ? AND record.id = ? RETURNING id"
)
UNCHECKED = "record.id > coalesce((SELECT value FROM setting WHERE name = ?), 0)"

log = logging.getLogger(__name__)


class LocalWatches:
    """The watches of a gallery on this machine; see `index.gallery.GalleryWatches`.

    Args:
        mirror: the database and the index.
        header: of the gallery.
        forgotten: called after something was forgotten, so that it is erased from every file.
    """

    def __init__(self, mirror: Mirror, header: GalleryHeader, forgotten: Callable[[], None]) -> None:
        self.alerts = LocalAlerts(mirror, header)
        self._mirror = mirror
        self._header = header
        self._forgotten = forgotten
        self._tell: Callable[[], None] = lambda: None
        self._descriptors: dict[int, NDArray[np.float32]] = {}

    def on_enrolled(self, tell: Callable[[], None]) -> None:
        """Have `tell` called after each enrollment, from its thread; it must return at once."""
        self._tell = tell

    def enrolled(self) -> None:
        """Something was enrolled; returns at once."""
        self._tell()

    def add(self, new: NewWatch) -> Watch:
        """Keep a watch; see `GalleryWatches.add`."""
        if new.descriptor is not None:
            check_probes(new.descriptor[np.newaxis], self._header)
        if new.image_id is not None and not storable(new.image_id):
            raise UnknownImageError(new.image_id)
        created = new.created_at or datetime.now(UTC)
        with self._mirror.settled(), self._mirror.store.adding(len(new.data or b"") + ROOM) as writer:
            [count] = writer.execute("SELECT count(*) FROM watch").fetchone()
            if count >= MOST_WATCHES:
                raise TooManyWatchesError(MOST_WATCHES)
            record_id, descriptor = None, new.descriptor
            if new.image_id is not None:
                found = next(described(writer, f"{DESCRIPTORS} WHERE image_id = ?", new.image_id), None)
                if found is None:
                    raise UnknownImageError(new.image_id)
                record_id, descriptor = int(found.ids[0]), found.descriptors[0]
            if descriptor is None:
                raise ValueError("a watch is made of an enrolled image, or of a file and its descriptor")
            [last] = writer.execute(LAST_RECORD).fetchone()
            [watch_id] = writer.execute(
                INSERT_WATCH,
                (
                    *(new.name, record_id, None if new.data is None else digest(new.data)),
                    *(new.media_type, new.data, descriptor.astype("<f4").tobytes(), new.camera_id),
                    *(new.threshold, json.dumps(sorted(new.cameras)), new.webhook, new.secret),
                    *(last, to_microseconds(created), new.created_by),
                ),
            ).fetchone()
            if not count:
                # Nobody has looked at what was enrolled until now, and nobody has to.
                write_setting(writer, CHECKED, last)
            return read_watch(writer.execute(f"{SELECT_WATCH} WHERE watch.id = ?", (watch_id,)).fetchone())

    def get(self, watch_id: int) -> Watch:
        """A watch. Raises UnknownWatchError."""
        rows = self._rows(f"{SELECT_WATCH} WHERE watch.id = ?", watch_id)
        if not rows:
            raise UnknownWatchError(watch_id)
        return read_watch(rows[0])

    def all(self) -> list[Watch]:
        """All watches, in order."""
        return [read_watch(row) for row in self._rows(f"{SELECT_WATCH} ORDER BY watch.id")]

    def image(self, watch_id: int) -> tuple[bytes, str]:
        """The file that a watch was made of, and its media type; see `GalleryWatches.image`."""
        rows = self._rows(
            "SELECT data, watch.media_type, digest, image_id FROM watch "
            "LEFT JOIN record ON record.id = record_id WHERE watch.id = ?",
            watch_id,
        )
        if not rows:
            raise UnknownWatchError(watch_id)
        data, media_type, expected, image_id = rows[0]
        if image_id is not None:
            return self._mirror.store.image(image_id)
        if digest(data) != expected:
            raise GalleryDamagedError(
                self._mirror.store.database, f"the file of watch {watch_id} is not as it was kept"
            )
        return data, media_type

    def webhook(self, watch_id: int) -> tuple[str, str] | None:
        """Webhook and secret of a watch; None where it has none, or is gone."""
        rows = self._rows("SELECT webhook, secret FROM watch WHERE id = ? AND webhook NOT NULL", watch_id)
        return rows[0] if rows else None

    def remove(self, watch_id: int) -> None:
        """Forget a watch and its alerts. Raises UnknownWatchError."""
        with self._mirror.settled(), self._mirror.store.noting() as writer:
            if not writer.execute("DELETE FROM watch WHERE id = ?", (watch_id,)).rowcount:
                raise UnknownWatchError(watch_id)
        self._forgotten()

    def watched(self) -> list[Watched]:
        """What new images are compared with, in order.

        Descriptors, which never change, are read once: those of a thousand watches are 32 MB.
        """
        rows = self._rows(
            f"SELECT watch.id, after_record, {CAMERA}, threshold, cameras FROM watch "  # noqa: S608 - of ours
            "LEFT JOIN record ON record.id = record_id ORDER BY watch.id"
        )
        kept = {row[0]: found for row in rows if (found := self._descriptors.get(row[0])) is not None}
        for [watch_id, *_] in rows:
            if watch_id not in kept:
                data = self._rows("SELECT descriptor FROM watch WHERE id = ?", watch_id)
                if data:
                    kept[watch_id] = np.frombuffer(data[0][0], "<f4").astype(np.float32)
        self._descriptors = kept
        return [
            Watched(watch_id, after, kept[watch_id], camera_id, threshold, frozenset(json.loads(cameras)))
            for watch_id, after, camera_id, threshold, cameras in rows
            if watch_id in kept
        ]

    def unchecked(self, limit: int) -> Sightings | None:
        """Images that no watch has looked at, `limit` at most; None where there are none, or no watches."""
        # As of one moment: an image that came between two reads would be passed over.
        with self._mirror.store.reading_at_once() as connection:
            query = f"SELECT id FROM record WHERE {UNCHECKED} AND EXISTS (SELECT 1 FROM watch) "  # noqa: S608
            ids = [row[0] for row in connection.execute(f"{query} ORDER BY id LIMIT ?", (CHECKED, limit))]
            if not ids:
                return None
            query = f"{DESCRIPTORS} WHERE id BETWEEN ? AND ? ORDER BY id"
            pieces = list(described(connection, query, ids[0], ids[-1], on_damage=_left_out))
        empty = np.empty((0, self._header.descriptor_dim), np.float32)
        sound = np.concatenate([np.empty(0, np.int64), *(piece.ids for piece in pieces)])
        return Sightings(
            last=ids[-1],
            ids=sound,
            places=sound,
            cameras=[camera_id for piece in pieces for camera_id in piece.cameras],
            descriptors=np.concatenate([empty, *(piece.descriptors for piece in pieces)]),
        )

    def raised(self, alerts: Sequence[Raised], found: Sightings) -> list[int]:
        """Keep alerts, and that images up to the last of `found` are checked; see `GalleryWatches.raised`."""
        now = to_microseconds(datetime.now(UTC))
        with self._mirror.settled(), self._mirror.store.noting() as writer:
            made = []
            for one in alerts:
                values = (one.similarity, one.threshold, now, one.watch_id, one.record_id)
                row = writer.execute(INSERT_ALERT, values).fetchone()
                if row is not None:
                    made.append(int(row[0]))
            if made:
                writer.execute("DELETE FROM alert WHERE id <= ?", (made[-1] - MOST_ALERTS,))
            write_setting(writer, CHECKED, max(found.last, read_setting(writer, CHECKED) or 0))
        return made

    def state(self) -> WatchState:
        """How many watches and deliveries there are, and how far behind the watches are."""
        [row] = self._rows(
            "SELECT (SELECT count(*) FROM watch), "  # noqa: S608 - of ours
            "(SELECT count(*) FROM alert WHERE delivery = 'waiting'), "
            "(SELECT count(*) FROM alert WHERE delivery = 'dead'), "
            f"(SELECT enrolled_at FROM record WHERE {UNCHECKED} AND EXISTS (SELECT 1 FROM watch) "
            "ORDER BY id LIMIT 1)",
            CHECKED,
        )
        watches, waiting, dead, behind = row
        return WatchState(watches, waiting, dead, None if behind is None else to_datetime(behind))

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._mirror.store.reading() as connection:
            return connection.execute(query, values).fetchall()


def _left_out(record_id: int, error: DamagedImageError) -> None:
    log.warning("record %d raises no alert: %s", record_id, error)
