"""Verdicts: what a person decided of a probe and an enrolled image, `same` vehicle or `different` ones.

A verdict belongs to the bytes of the probe, and to the enrollment of the image: it goes when the image is
deleted, and so does the probe's file when its last verdict goes; the database sees to both by itself. A probe
that is itself an enrolled image goes with that image, and its verdicts with it. The tables are made at the
first opening by software that knows them; software that does not may open the gallery all the same.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from index.errors import TooManyVerdictsError, UnknownImageError

Kind = Literal["same", "different"]
MAX_TEXT = 1024
MOST = 256
"""Verdicts on a probe: a search for it looks at as many matches more, and at their strips."""
TABLES = (
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


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict to be kept.

    Attributes:
        probe: the probe's file, which is kept as long as there is a verdict on it.
        media_type: of the file.
        image_id: of the enrolled image.
        kind: whether both show the same vehicle.
        camera_id: the probe's camera, None where it is not known; a known one stays.
        decided_at: aware; None for now.
        decided_by: id of the key of whoever decided; None without keys.
    """

    probe: bytes
    media_type: str
    image_id: str
    kind: Kind
    camera_id: str | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict that is kept.

    Attributes:
        probe: SHA-256 of the probe's file, in hex.
        camera_id: the probe's camera, where it is known.
        record_id: the number of the image's enrollment, see `index.record.Match`.
        image_id: of the enrolled image.
        kind: whether both show the same vehicle.
        decided_at: in UTC.
        decided_by: id of the key of whoever decided last; None without keys.
    """

    probe: str
    camera_id: str | None
    record_id: int
    image_id: str
    kind: Kind
    decided_at: datetime
    decided_by: str | None


@dataclass(frozen=True, slots=True)
class VerdictPage:
    """Some verdicts, the pair that was decided first before others; `next` as in `index.record.Page`."""

    verdicts: tuple[Verdict, ...]
    next: int | None


def digest_of(probe: bytes) -> str:
    """What names a probe: SHA-256 of its file, in hex."""
    return hashlib.sha256(probe).hexdigest()


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables where they are not there, inside the caller's transaction if there is one."""
    for statement in TABLES:
        connection.execute(statement)


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether the tables are there, and what belongs to them."""
    names = ("probe", "verdict", "verdict_record", "probe_without_verdict")
    query = f"SELECT count(*) FROM sqlite_schema WHERE name IN ({', '.join('?' * len(names))})"  # noqa: S608
    return bool(connection.execute(query, names).fetchone()[0] == len(names))


def size_of(decision: Decision) -> int:
    """Bytes that a decision may take in the database."""
    return len(decision.probe) + MAX_TEXT


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
    if others >= MOST:
        raise TooManyVerdictsError(MOST)
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
    if has_tables(connection):
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
