"""What a gallery holds and how much room it takes, read beside whoever has it open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from index.database.connections import DATABASE
from index.database.migration import BACKUPS
from index.database.rows import to_datetime
from index.database.setting import read_setting
from index.local.loss import WAL
from index.local.remains import leftovers
from index.record import GalleryHeader
from index.retention import RETENTION
from index.upkeep.frozen import frozen
from index.vectors.snapshot import SNAPSHOT


@dataclass(frozen=True, slots=True)
class Statistics:
    """A gallery in figures.

    Attributes:
        header: its model.
        schema_version: of its database.
        images: enrolled.
        vehicles: that are named.
        cameras: that are named.
        same_bytes: images whose very bytes are enrolled under another id, too.
        first: enrollment; None where there is none.
        last: enrollment.
        captured_first: of the images whose time is known.
        captured_last: of those.
        change: number of the last change.
        retention_days: that images are kept; None where all are.
        database: bytes of the file.
        free: bytes of it that hold nothing; `lka-reid gallery compact` gives them back.
        log: bytes of the write-ahead log.
        snapshot: bytes of the index snapshot.
        beside: bytes of backups that a migration left, and of what repairs put aside.
    """

    header: GalleryHeader
    schema_version: int
    images: int
    vehicles: int
    cameras: int
    same_bytes: int
    first: datetime | None
    last: datetime | None
    captured_first: datetime | None
    captured_last: datetime | None
    change: int
    retention_days: int | None
    database: int
    free: int
    log: int
    snapshot: int
    beside: int


def statistics(folder: Path) -> Statistics:
    """The figures of the gallery in this folder. Raises as `index.upkeep.frozen.frozen`."""
    with frozen(folder) as (connection, header):

        def number(query: str) -> int:
            return int(connection.execute(query).fetchone()[0] or 0)

        def times(column: str) -> tuple[datetime | None, datetime | None]:
            row = connection.execute(f"SELECT min({column}), max({column}) FROM record").fetchone()  # noqa: S608
            return tuple(None if value is None else to_datetime(value) for value in row)  # type: ignore[return-value]

        first, last = times("enrolled_at")
        captured_first, captured_last = times("captured_at")
        return Statistics(
            header=header,
            schema_version=number("PRAGMA user_version"),
            images=number("SELECT count(*) FROM record NOT INDEXED"),
            vehicles=number("SELECT count(DISTINCT vehicle_id) FROM record"),
            cameras=number("SELECT count(DISTINCT camera_id) FROM record"),
            same_bytes=number(
                "SELECT sum(n) FROM (SELECT count(*) AS n FROM image_digest GROUP BY digest HAVING n > 1)"
            ),
            first=first,
            last=last,
            captured_first=captured_first,
            captured_last=captured_last,
            change=number("SELECT max(sequence) FROM change"),
            retention_days=read_setting(connection, RETENTION),
            database=_size(folder / DATABASE),
            free=number("PRAGMA freelist_count") * number("PRAGMA page_size"),
            log=_size(folder / WAL),
            snapshot=_size(folder / SNAPSHOT),
            beside=sum(map(_size, [*folder.glob(BACKUPS), *set(leftovers(folder))])),
        )


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(_size(inner) for inner in path.iterdir())
    return path.stat().st_size if path.is_file() else 0
