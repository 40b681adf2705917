"""The step of the migration from version 5 to 6, after which filters are answered from indexes."""

from __future__ import annotations

import sqlite3


def add_filters(connection: sqlite3.Connection) -> None:
    """From version 5 to 6: vehicle types, what filters are answered from, and settings."""
    connection.execute("ALTER TABLE record ADD COLUMN vehicle_type TEXT")
    for statement in (
        """CREATE INDEX record_camera ON record (camera_id, captured_at, vehicle_type, view, vehicle_id)""",
        """CREATE INDEX record_time ON record (captured_at, camera_id, vehicle_type, view, vehicle_id)""",
        """CREATE INDEX record_vehicle ON record (vehicle_id, captured_at, camera_id, vehicle_type, view)""",
        """CREATE INDEX record_view ON record (view, vehicle_type, captured_at, camera_id, vehicle_id)""",
        """CREATE INDEX record_type ON record (vehicle_type, captured_at, camera_id, view, vehicle_id)""",
        """CREATE TABLE tag (
            tag TEXT NOT NULL,
            record_id INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
            PRIMARY KEY (tag, record_id)
        ) STRICT, WITHOUT ROWID""",
        """CREATE INDEX tag_record ON tag (record_id)""",
        """CREATE TABLE setting (
            name TEXT PRIMARY KEY,
            value INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
    ):
        connection.execute(statement)
    # Tags that are no list any more stay damaged, and in no filter.
    connection.execute(
        "INSERT OR IGNORE INTO tag SELECT value, record.id FROM record, "
        "json_each(iif(json_valid(record.tags), record.tags, '[]')) AS one WHERE one.type = 'text'"
    )
