"""What lies beside a gallery's database and may hold images that were deleted from it.

A backup that a migration left loses the enrollments that the gallery does not have any more: they are known
by image id and time of enrollment, which migration, re-embedding and import keep. What a repair has put aside
cannot be taken apart: it goes as a whole, after `KEPT_DAYS`, or at once by `lka-reid gallery purge`. So does
a re-embedding that was interrupted, and as soon as it has an image that the gallery does not hold any more.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from index.database import verdicts, watches
from index.database.connections import DATABASE, transaction
from index.database.migration import BACKUPS, KEPT_DAYS
from index.errors import GalleryLockedError, NotErasedError
from index.files.disk import sync
from index.files.lock import FolderLock

LEFTOVERS = ("lost-*", f"{DATABASE}.damaged", f"{DATABASE}.mended*", f"{DATABASE}.compact*", "re-embedding")
"""What a repair put aside, or a process that was killed left."""

GONE = """SELECT id, camera_id FROM main.record AS saved WHERE NOT EXISTS (
    SELECT 1 FROM present.record AS held
    WHERE held.image_id = saved.image_id AND held.enrolled_at = saved.enrolled_at)"""
WATCHES_GONE = """FROM main.watch AS saved WHERE NOT EXISTS (
    SELECT 1 FROM present.watch AS held
    WHERE held.name = saved.name AND held.created_at = saved.created_at)"""

log = logging.getLogger(__name__)


def erase_remains(folder: Path, *, at_once: bool = False) -> list[str]:
    """Take out of a gallery's backups what it does not hold any more, and remove what is left over.

    Args:
        folder: of the gallery; no other process may be at work in it.
        at_once: remove leftovers that are not `KEPT_DAYS` old, too.

    Returns:
        Names of what was removed.

    Raises:
        NotErasedError: a re-embedding that is under way has what is gone.
        OSError, sqlite3.Error: a file cannot be read or written.
    """
    for saved in sorted(folder.glob(f"{BACKUPS}/{DATABASE}")):
        _erase_from(saved, folder / DATABASE)
    removed = []
    for path in sorted(set(leftovers(folder))):
        is_old = _age_days(path) > KEPT_DAYS
        holds_the_gone = _holds_the_gone(path, folder / DATABASE)
        if (path / DATABASE).exists() and _is_in_use(path):
            if holds_the_gone:
                raise NotErasedError(f"{path} holds images that are deleted, and is being worked on")
            continue
        if at_once or is_old or holds_the_gone:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(path.name)
            log.info("removed %s", path)
    if removed:
        sync(folder)
    return removed


def leftovers(folder: Path) -> Iterator[Path]:
    """What a repair put aside in a gallery's folder, or a process that was killed left there."""
    for pattern in LEFTOVERS:
        yield from folder.glob(pattern)


def _is_in_use(folder: Path) -> bool:
    try:
        FolderLock(folder).release()
    except GalleryLockedError:
        return True
    return False


def _holds_the_gone(path: Path, database: Path) -> bool:
    """Whether a folder is a gallery that was begun, and has something that the gallery does not hold."""
    begun = path / DATABASE
    if not begun.is_file() or not begun.stat().st_size:
        return False
    with closing(sqlite3.connect(begun, isolation_level=None)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'record'").fetchone() is None:
            return False  # killed before it held anything
        connection.execute("ATTACH ? AS present", (str(database),))
        return connection.execute(f"{GONE} LIMIT 1").fetchone() is not None


def _erase_from(saved: Path, database: Path) -> None:
    """Delete from a backup what the gallery's database does not hold; the backup's age stays."""
    times = saved.stat()
    with closing(sqlite3.connect(saved, isolation_level=None)) as backup:
        backup.execute("PRAGMA foreign_keys = ON")
        backup.execute("PRAGMA secure_delete = ON")
        backup.execute("ATTACH ? AS present", (str(database),))
        gone = backup.execute(GONE).fetchall()
        watched = watches.TABLES.are_in(backup)
        if not gone and not (watched and backup.execute(f"SELECT 1 {WATCHES_GONE} LIMIT 1").fetchone()):
            return
        with transaction(backup):
            if backup.execute("SELECT 1 FROM main.sqlite_schema WHERE name = 'probe'").fetchone():
                for number, _ in gone:
                    verdicts.forget_copies(backup, number)
            if watched:
                for number, _ in gone:
                    watches.forget_copies(backup, number)
                backup.execute(f"DELETE {WATCHES_GONE}")
            backup.executemany("DELETE FROM main.record WHERE id = ?", ((row[0],) for row in gone))
            _forget_sums(backup, {camera_id or "" for _, camera_id in gone})
        backup.execute("DETACH present")
        # Without what SQLite leaves on pages between rows.
        backup.execute("VACUUM")
        backup.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log.info("%d images that are deleted were erased from %s", len(gone), saved)
    os.utime(saved, ns=(times.st_atime_ns, times.st_mtime_ns))


def _forget_sums(backup: sqlite3.Connection, cameras: set[str]) -> None:
    """Void what a backup knows of cameras: less what is known now, it would give the image that is gone.

    Its own software computes sums anew whose checksum is wrong, and makes another version of its
    normalisation.
    """
    if backup.execute("SELECT 1 FROM main.sqlite_schema WHERE name = 'camera'").fetchone() is None:
        return
    backup.executemany(
        "UPDATE main.camera SET sums = zeroblob(length(sums)), checksum = -1 - checksum "
        "WHERE camera_id = ? AND source = 'enrolled'",
        ((camera_id,) for camera_id in cameras),
    )
    backup.execute("DELETE FROM main.normalisation")


def _age_days(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / 86_400
