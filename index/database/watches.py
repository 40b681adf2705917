"""The tables of watches and alerts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from index.database.checksums import digest
from index.database.rows import to_datetime
from index.database.tables import Tables
from index.record import Record
from index.watches import Alert, Watch

TABLES = Tables(
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


def forget_copies(connection: sqlite3.Connection, record_id: int) -> None:
    """Forget watches whose file has the bytes of an image that is about to be deleted, and their alerts."""
    connection.execute(
        "DELETE FROM main.watch WHERE digest = (SELECT digest FROM main.image_digest WHERE record_id = ?)",
        (record_id,),
    )


def damaged_watches(connection: sqlite3.Connection) -> Iterator[int]:
    """The watches whose files are not as they were kept; none where the tables are not there yet."""
    if TABLES.are_in(connection):
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
