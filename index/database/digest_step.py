"""The step of the migration after which images are known by digests of their bytes."""

from __future__ import annotations

import hashlib
import sqlite3


def add_digests(connection: sqlite3.Connection) -> None:
    """A digest of each image's bytes, by which the same bytes under another id are found."""
    connection.create_function("digest", 1, _digest, deterministic=True)
    for statement in (
        """CREATE TABLE image_digest (
            record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
            digest BLOB NOT NULL
        ) STRICT""",
        "INSERT INTO image_digest SELECT record_id, digest(data) FROM image",
        "CREATE INDEX image_digest_digest ON image_digest (digest)",
    ):
        connection.execute(statement)
    connection.create_function("digest", 1, None)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
