"""The tables of probes and verdicts."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from index import verdicts
from index.database.tables import Tables
from index.errors import TooManyVerdictsError, UnknownImageError
from index.verdicts import Decision, Verdict

TABLES = Tables(
    """CREATE TABLE IF NOT EXISTS probe (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        camera_id TEXT,
        media_type TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS verdict (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        probe_id INTEGER NOT NULL REFERENCES probe (id) ON DELETE CASCADE,
        record_id INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('same', 'different')),
        decided_at INTEGER NOT NULL,
        decided_by TEXT,
        UNIQUE (probe_id, record_id)
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS verdict_record ON verdict (record_id)",
    """CREATE TRIGGER IF NOT EXISTS probe_without_verdict AFTER DELETE ON verdict
        WHEN NOT EXISTS (SELECT 1 FROM verdict WHERE probe_id = OLD.probe_id)
        BEGIN DELETE FROM probe WHERE id = OLD.probe_id; END""",
)
SELECT_VERDICT = (
    "SELECT verdict.id, digest, probe.camera_id, record_id, image_id, kind, decided_at, decided_by "
    "FROM verdict JOIN probe ON probe.id = probe_id JOIN record ON record.id = record_id"
)


def decide(connection: sqlite3.Connection, decision: Decision) -> Verdict:
    """Keep a verdict in the place of an earlier one on the pair, inside the caller's transaction.

    Raises UnknownImageError and TooManyVerdictsError.
    """
    known = connection.execute("SELECT id FROM record WHERE image_id = ?", (decision.image_id,)).fetchone()
    if known is None:
        raise UnknownImageError(decision.image_id)
    moment = decision.decided_at or datetime.now(UTC)
    digest = hashlib.sha256(decision.probe).digest()
    [probe_id] = connection.execute(
        "INSERT INTO probe (digest, camera_id, media_type, data) VALUES (?, ?, ?, ?) ON CONFLICT (digest) "
        "DO UPDATE SET camera_id = ifnull(excluded.camera_id, camera_id) RETURNING id",
        (digest, decision.camera_id, decision.media_type, decision.probe),
    ).fetchone()
    [others] = connection.execute(
        "SELECT count(*) FROM verdict WHERE probe_id = ? AND record_id <> ?", (probe_id, *known)
    ).fetchone()
    if others >= verdicts.MOST:
        raise TooManyVerdictsError(verdicts.MOST)
    [verdict_id] = connection.execute(
        "INSERT INTO verdict (probe_id, record_id, kind, decided_at, decided_by) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (probe_id, record_id) DO UPDATE SET kind = excluded.kind, "
        "decided_at = excluded.decided_at, decided_by = excluded.decided_by RETURNING id",
        (probe_id, *known, decision.kind, int(moment.timestamp() * 1e6), decision.decided_by),
    ).fetchone()
    return read_verdict(
        connection.execute(f"{SELECT_VERDICT} WHERE verdict.id = ?", (verdict_id,)).fetchone()
    )


def undo(connection: sqlite3.Connection, probe: str, image_id: str) -> bool:
    """Forget a verdict, and the probe with its last; False where there is none."""
    gone = connection.execute(
        "DELETE FROM verdict WHERE probe_id = (SELECT id FROM probe WHERE digest = ?) "
        "AND record_id = (SELECT id FROM record WHERE image_id = ?)",
        (stored_digest(probe), image_id),
    )
    return gone.rowcount > 0


def forget_copies(connection: sqlite3.Connection, record_id: int) -> None:
    """Forget a probe that has the bytes of an image which is about to be deleted, and the verdicts on it."""
    if connection.execute("SELECT 1 FROM probe LIMIT 1").fetchone() is None:
        return
    for [data] in connection.execute("SELECT data FROM image WHERE record_id = ?", (record_id,)).fetchall():
        connection.execute("DELETE FROM probe WHERE digest = ?", (hashlib.sha256(data).digest(),))


def damaged_probes(connection: sqlite3.Connection) -> Iterator[str]:
    """The probes whose files are not as they were kept; none where the tables are not there yet."""
    if TABLES.are_in(connection):
        for digest, data in connection.execute("SELECT digest, data FROM probe"):
            if hashlib.sha256(data).digest() != digest:
                yield digest.hex()


def stored_digest(probe: str) -> bytes:
    """A digest as it is stored; of text that is none, what no file has."""
    try:
        return bytes.fromhex(probe)
    except ValueError:
        return b""


def read_verdict(row: tuple[Any, ...]) -> Verdict:
    """The verdict of a row of SELECT_VERDICT."""
    _, digest, camera_id, record_id, image_id, kind, decided_at, decided_by = row
    moment = datetime.fromtimestamp(decided_at / 1e6, UTC)
    return Verdict(digest.hex(), camera_id, record_id, image_id, kind, moment, decided_by)
