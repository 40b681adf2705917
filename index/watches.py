"""Watches: vehicles that are looked for in whatever is enrolled from now on, and the alerts that they raise.

A watch is made of a file, which is kept with it, or of an enrolled image, with which it goes; one of a file
goes with an enrolled image of the same bytes. An alert goes with its watch and with the image that raised
it. The database sees to both by itself, so that erasing an image erases all of it. The tables are made at the
first opening by software that knows them; software that does not may open the gallery all the same.

Images are checked in order of enrollment, and the number of the last one that was checked is committed with
the alerts: a process that is killed goes on after it, and raises none twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.checksums import digest
from index.record import Record
from index.rows import to_datetime

DeliveryState = Literal["waiting", "delivered", "dead", "dropped"]
MOST_WATCHES: Final = 1000
"""Of a gallery: each new image is compared with all of them."""
MOST_ALERTS: Final = 100_000
"""Of a gallery; the oldest go first."""
CHECKED: Final = "watch_checked"
"""The setting with the number of the last record that all watches have looked at."""

TABLES = (
    """CREATE TABLE IF NOT EXISTS watch (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        record_id INTEGER REFERENCES record (id) ON DELETE CASCADE,
        digest BLOB,
        media_type TEXT,
        data BLOB,
        descriptor BLOB NOT NULL,
        camera_id TEXT,
        threshold REAL,
        cameras TEXT NOT NULL,
        webhook TEXT,
        secret TEXT,
        after_record INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        created_by TEXT
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS watch_record ON watch (record_id)",
    "CREATE INDEX IF NOT EXISTS watch_digest ON watch (digest)",
    """CREATE TABLE IF NOT EXISTS alert (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        watch_id INTEGER NOT NULL REFERENCES watch (id) ON DELETE CASCADE,
        record_id INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
        similarity REAL NOT NULL,
        threshold REAL NOT NULL,
        raised_at INTEGER NOT NULL,
        delivery TEXT CHECK (delivery IN ('waiting', 'delivered', 'dead', 'dropped')),
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at INTEGER,
        problem TEXT,
        UNIQUE (watch_id, record_id)
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS alert_record ON alert (record_id)",
    "CREATE INDEX IF NOT EXISTS alert_delivery ON alert (delivery, due_at)",
)
NAMES = ("watch", "watch_record", "watch_digest", "alert", "alert_record", "alert_delivery")
# Neither file, descriptor nor secret: a list needs none of them. A camera may be amended after the watch.
CAMERA = "CASE WHEN record_id IS NULL THEN watch.camera_id ELSE record.camera_id END"
SELECT_WATCH = (
    f"SELECT watch.id, name, image_id, {CAMERA}, threshold, cameras, "  # noqa: S608 - of ours
    "webhook, created_at, created_by, "
    "(SELECT count(*) FROM alert WHERE watch_id = watch.id) "
    "FROM watch LEFT JOIN record ON record.id = record_id"
)
SELECT_ALERT = (
    "SELECT alert.id, watch_id, watch.name, alert.record_id, similarity, alert.threshold, raised_at, "
    "delivery, attempts, due_at, problem FROM alert JOIN watch ON watch.id = watch_id"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewWatch:
    """A watch to be kept.

    Attributes:
        name: of the watch; "" for none.
        image_id: of the enrolled image that it is made of; its descriptor and camera are the watch's.
        data: the file that it is made of instead; then `descriptor` and `media_type` are given.
        descriptor: float32 `[d]`, of the file.
        media_type: of the file.
        camera_id: of the file, None where it is not known.
        threshold: least similarity that raises an alert; None for the model's.
        cameras: whose images may raise one; none for all.
        webhook: URL that alerts are delivered to; None for none.
        secret: that deliveries are signed with.
        created_by: id of the key of whoever made it; None without keys.
        created_at: aware; None for now.
    """

    name: str = ""
    image_id: str | None = None
    data: bytes | None = None
    descriptor: NDArray[np.float32] | None = None
    media_type: str | None = None
    camera_id: str | None = None
    threshold: float | None = None
    cameras: frozenset[str] = frozenset()
    webhook: str | None = None
    secret: str | None = field(default=None, repr=False)
    created_by: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch that is kept; see `NewWatch`.

    Attributes:
        id: counts up, never given twice.
        image_id: of the enrolled image that it was made of; None of a file.
        alerts: that it has raised and that are kept.
    """

    id: int
    name: str
    image_id: str | None
    camera_id: str | None
    threshold: float | None
    cameras: frozenset[str]
    webhook: str | None
    created_at: datetime
    created_by: str | None
    alerts: int


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What new images are compared with.

    Attributes:
        after_record: images with a greater number are looked at: those enrolled since.
        descriptor: float32 `[d]`, raw.
    """

    id: int
    after_record: int
    descriptor: NDArray[np.float32]
    camera_id: str | None
    threshold: float | None
    cameras: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Sightings:
    """Images that no watch has looked at yet, in order of enrollment.

    Attributes:
        last: the number to go on after.
        ids: `[n]`, of the records.
        cameras: of each, None where it has none.
        descriptors: float32 `[n, d]`, raw, as they are stored.
    """

    last: int
    ids: NDArray[np.int64]
    cameras: Sequence[str | None]
    descriptors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert to be kept: which watch, which image (the number of its record), how similar."""

    watch_id: int
    record_id: int
    similarity: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Alert:
    """An enrolled image that is similar enough to a watched vehicle.

    Attributes:
        id: counts up, never given twice.
        record: of the image.
        similarity: of the first stage.
        threshold: that it reached.
        delivery: to the watch's webhook; `dead` where it was given up, and `dropped` where a person did
            not want that one any more. None without a webhook.
        attempts: deliveries that were tried.
        due_at: when the next is; None where none is.
        problem: what became of the last one that failed.
    """

    id: int
    watch_id: int
    watch_name: str
    record: Record
    similarity: float
    threshold: float
    raised_at: datetime
    delivery: DeliveryState | None
    attempts: int
    due_at: datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Some alerts, the newest first; `next` is the cursor of those before, None where there are none."""

    alerts: tuple[Alert, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class WatchState:
    """How many watches there are, and alerts whose delivery waits or was given up.

    Attributes:
        behind_since: when the first image was enrolled that no watch has looked at; None where all have.
    """

    watches: int
    waiting: int
    dead: int
    behind_since: datetime | None


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables where they are not there, inside the caller's transaction if there is one."""
    for statement in TABLES:
        connection.execute(statement)


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether the tables are there, and what belongs to them."""
    query = f"SELECT count(*) FROM sqlite_schema WHERE name IN ({', '.join('?' * len(NAMES))})"  # noqa: S608
    return bool(connection.execute(query, NAMES).fetchone()[0] == len(NAMES))


def forget_copies(connection: sqlite3.Connection, record_id: int) -> None:
    """Forget watches whose file has the bytes of an image that is about to be deleted, and their alerts."""
    connection.execute(
        "DELETE FROM main.watch WHERE digest = (SELECT digest FROM main.image_digest WHERE record_id = ?)",
        (record_id,),
    )


def damaged_watches(connection: sqlite3.Connection) -> Iterator[int]:
    """The watches whose files are not as they were kept; none where the tables are not there yet."""
    if has_tables(connection):
        for number, expected, data in connection.execute("SELECT id, digest, data FROM watch"):
            if data is not None and digest(data) != expected:
                yield number


def read_watch(row: tuple[Any, ...]) -> Watch:
    """The watch of a row of SELECT_WATCH."""
    number, name, image_id, camera_id, threshold, cameras, webhook, created_at, created_by, alerts = row
    return Watch(
        id=number,
        name=name,
        image_id=image_id,
        camera_id=camera_id,
        threshold=threshold,
        cameras=frozenset(json.loads(cameras)),
        webhook=webhook,
        created_at=to_datetime(created_at),
        created_by=created_by,
        alerts=alerts,
    )


def read_alert(row: tuple[Any, ...], record: Record) -> Alert:
    """The alert of a row of SELECT_ALERT, with its image's record."""
    number, watch_id, name, _, similarity, threshold, raised_at, delivery, attempts, due_at, problem = row
    return Alert(
        id=number,
        watch_id=watch_id,
        watch_name=name,
        record=record,
        similarity=similarity,
        threshold=threshold,
        raised_at=to_datetime(raised_at),
        delivery=delivery,
        attempts=attempts,
        due_at=None if due_at is None else to_datetime(due_at),
        problem=problem,
    )
