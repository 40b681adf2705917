"""Changes that were acknowledged and are not in the database any more.

Two files beside the database name a change that it had: the number of the last one that was acknowledged, and
the manifest of the snapshot. Where either is beyond the database's last change, the database was emptied,
replaced by an older one, or its write-ahead log was damaged. What is there is evidence then, and SQLite would
fold or remove the log: it is read without a change to it.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from index.acknowledged import ACKNOWLEDGED, read_acknowledged
from index.connections import DATABASE
from index.disk import create_folder, sync
from index.errors import GalleryLossError
from index.lock import FolderLock
from index.private import tighten_gallery
from index.snapshot import SNAPSHOT, SnapshotError, SnapshotFolder

WAL = f"{DATABASE}-wal"


@dataclass(frozen=True, slots=True)
class Loss:
    """A database that ends before a change that it had.

    Attributes:
        last: the database's last change, 0 where it is empty or missing.
        known: the last change that is known of.
        witness: the file that names it.
    """

    last: int
    known: int
    witness: Path

    @property
    def missing(self) -> int:
        """How many changes are missing at least."""
        return self.known - self.last


def find_loss(folder: Path) -> Loss | None:
    """What the database has lost, as far as it can be proved; nothing is changed."""
    known, witness = max(_witnesses(folder), default=(0, folder))
    if not known:
        return None
    last = _last_change(folder / DATABASE)
    return None if last is None or last >= known else Loss(last, known, witness)


def check_loss(folder: Path) -> None:
    """Raise GalleryLossError where the database has lost changes; nothing is changed."""
    loss = find_loss(folder)
    if loss is not None:
        raise GalleryLossError(folder / DATABASE, loss.last, loss.known, loss.witness)


def accept_loss(folder: Path, missing: int) -> Path:
    """Let the gallery be opened without its lost changes; the folder that what proves them is moved to.

    A copy of the write-ahead log goes there too. Run again after a kill, it does what is left to do.

    Raises:
        ValueError: not so many changes are missing; nothing was changed.
        GalleryLockedError: the gallery is in use.
    """
    lock = FolderLock(folder)
    try:
        loss = find_loss(folder)
        if loss is None or loss.missing != missing:
            found = "none is" if loss is None else f"{loss.missing:,} are"
            raise ValueError(f"{missing:,} changes were said to be missing in {folder}, {found}")
        aside = folder / time.strftime("lost-%Y%m%dT%H%M%S", time.gmtime())
        create_folder(aside)
        for name in (WAL, ACKNOWLEDGED, SNAPSHOT):
            if not (folder / name).exists():
                continue
            if name == WAL:
                shutil.copyfile(folder / name, aside / name)
                sync(aside / name)
            else:
                (folder / name).replace(aside / name)
        tighten_gallery(folder)
        sync(aside)
        sync(folder)
        return aside
    finally:
        lock.release()


def _witnesses(folder: Path) -> list[tuple[int, Path]]:
    """Numbers of changes that the database had, each with the file that says so."""
    found = []
    acknowledged = read_acknowledged(folder)
    if acknowledged is not None:
        found.append((acknowledged, folder / ACKNOWLEDGED))
    if (folder / SNAPSHOT).is_dir():
        snapshots = SnapshotFolder(folder / SNAPSHOT)
        # A manifest that is damaged proves nothing; recovery says so.
        with suppress(SnapshotError):
            manifest = snapshots.manifest()
            # The number stands in the index file's name too: one that alone was damaged is no proof.
            if manifest is not None and manifest.file.startswith(f"vectors-{manifest.sequence}-"):
                found.append((manifest.sequence, folder / SNAPSHOT))
    return found


def _last_change(database: Path) -> int | None:
    """The number of its last change; None where it cannot be read, which opening it explains."""
    if not database.exists() or not database.stat().st_size:
        return 0
    try:
        with closing(read_only(database)) as found:
            return int(found.execute("SELECT coalesce(max(sequence), 0) FROM change").fetchone()[0])
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def read_only(database: Path) -> sqlite3.Connection:
    """A connection that changes neither the database nor its write-ahead log."""
    log = database.with_name(WAL)
    # Immutable, SQLite makes no files beside it; but then it does not read the log.
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"file:{quote(str(database))}?mode=ro{immutable}", uri=True)
