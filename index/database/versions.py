"""Versions of a gallery's normalisation in the database: the last one is in force."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from index.cameras.estimation import Estimates
from index.cameras.normalisation import RAW, Estimate, Normalisation
from index.database.cameras import COLLECTION
from index.database.checksums import checksum
from index.database.connections import DATABASE, transaction
from index.database.failures import failures_named
from index.database.schema import describe

OVERALL = ""

log = logging.getLogger(__name__)


def read_version(connection: sqlite3.Connection) -> Normalisation:
    """The version in force; RAW before the first.

    Of one that is damaged, which is logged, the number alone is left, and descriptors stay as they are until
    the next version.
    """
    row = connection.execute(
        "SELECT version, token, made_at FROM normalisation ORDER BY version DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return RAW
    version, token, made_at = row
    made = datetime.fromtimestamp(made_at / 1e6, UTC)
    estimates: dict[str, Estimate] = {}
    rows = connection.execute(
        "SELECT camera_id, count, estimate, checksum FROM normalisation_camera "
        "WHERE version = ? AND collection = ?",
        (version, COLLECTION),
    )
    for camera_id, count, data, expected in rows:
        if checksum(count, data) != expected:
            log.error("version %d of the normalisation is damaged (camera %r)", version, camera_id)
            return Normalisation(version=version, made_at=made)
        estimates[camera_id] = Estimate.from_bytes(count, data)
    overall = estimates.pop(OVERALL, None)
    if overall is None:
        return Normalisation(version=version, made_at=made)
    return Normalisation(version, token, overall, estimates, made)


def normalisation_in(folder: Path) -> Normalisation:
    """The version in force of the gallery in this folder, whoever has it open.

    Raises FileNotFoundError, GallerySchemaError or GalleryDamagedError.
    """
    describe(folder)
    database = folder / DATABASE
    with (
        failures_named(database),
        closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection,
    ):
        known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'normalisation'").fetchone()
        # A gallery of an earlier version has none.
        return RAW if known is None else read_version(connection)


def write_version(connection: sqlite3.Connection, estimates: Estimates | None) -> Normalisation:
    """Commit a new version in the place of the last one, None for descriptors as they are."""
    made = datetime.now(UTC)
    with transaction(connection):
        connection.execute("DELETE FROM normalisation")
        [version] = connection.execute(
            "INSERT INTO normalisation (made_at) VALUES (?) RETURNING version", (int(made.timestamp() * 1e6),)
        ).fetchone()
        if estimates is not None:
            for camera_id, estimate in ((OVERALL, estimates.overall), *estimates.cameras.items()):
                data = estimate.to_bytes()
                connection.execute(
                    "INSERT INTO normalisation_camera VALUES (?, ?, ?, ?, ?, ?)",
                    (version, COLLECTION, camera_id, estimate.count, data, checksum(estimate.count, data)),
                )
        return read_version(connection)
