"""Changes and images that were acknowledged and are not in the database any more.

Two files beside the database name a change that it had: the number of the last one that was acknowledged, and
the manifest of the snapshot. Where either is beyond the database's last change, the database was emptied,
replaced by an older one, or its write-ahead log was damaged. The first of the files also says how many images
there were: where a damaged page hides some, fewer are found. What is there is evidence then, and SQLite would
fold or remove the log: it is read without a change to it.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from index.database.changes import Changes
from index.database.connections import DATABASE
from index.errors import GalleryLossError
from index.files.acknowledged import ACKNOWLEDGED, LastChange, read_acknowledged
from index.files.disk import create_folder, sync
from index.files.lock import FolderLock
from index.files.private import tighten_gallery
from index.vectors.snapshot import SNAPSHOT, SnapshotError, SnapshotFolder

WAL = f"{DATABASE}-wal"


@dataclass(frozen=True, slots=True)
class Loss:
    """A database that lacks what it had.

    Attributes:
        found: the database's last change, 0 where it is empty or missing; or how many images it has.
        known: the last change that is known of, or how many images there were after it.
        witness: the file that says so.
        unit: which of the two it is.
    """

    found: int
    known: int
    witness: Path
    unit: Literal["changes", "images"] = "changes"

    @property
    def missing(self) -> int:
        """How many changes or images are missing at least."""
        return self.known - self.found


def find_loss(folder: Path) -> Loss | None:
    """What the database has lost, as far as it can be proved; nothing is changed."""
    witnesses = _witnesses(folder)
    known, witness = max(((last.sequence, file) for last, file in witnesses), default=(0, folder))
    if not known:
        return None
    database = folder / DATABASE
    if not database.exists() or not database.stat().st_size:
        return Loss(0, known, witness)
    # What cannot be read, opening explains.
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(read_only(database)) as connection:
        changes = Changes(connection)
        last = changes.last()
        if last < known:
            return Loss(last, known, witness)
        for noted, file in witnesses:
            # Some of the changes since then may be noted in the log alone.
            if noted.images is not None and changes.reach_back_to(noted.sequence):
                images = noted.images + changes.grown_after(noted.sequence)
                found = changes.count()
                return Loss(found, images, file, "images") if found < images else None
    return None


def check_loss(folder: Path) -> None:
    """Raise GalleryLossError where the database lacks what it had; nothing is changed."""
    loss = find_loss(folder)
    if loss is not None:
        raise GalleryLossError(folder / DATABASE, loss.found, loss.known, loss.witness, loss.unit)


def accept_loss(folder: Path, missing: int) -> Path:
    """Let the gallery be opened without what it lost; the folder that what proves it is moved to.

    A copy of the write-ahead log goes there too. Run again after a kill, it does what is left to do.

    Raises:
        ValueError: not so many are missing; nothing was changed.
        GalleryLockedError: the gallery is in use.
    """
    lock = FolderLock(folder)
    try:
        loss = find_loss(folder)
        if loss is None or loss.missing != missing:
            found = "none is" if loss is None else f"{loss.missing:,} are"
            unit = "changes" if loss is None else loss.unit
            raise ValueError(f"{missing:,} {unit} were said to be missing in {folder}, {found}")
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


def _witnesses(folder: Path) -> list[tuple[LastChange, Path]]:
    """Changes that the database had, each with the file that says so."""
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
                found.append((LastChange(manifest.sequence, None), folder / SNAPSHOT))
    return found


def read_only(database: Path) -> sqlite3.Connection:
    """A connection that changes neither the database nor its write-ahead log."""
    log = database.with_name(WAL)
    # Immutable, SQLite makes no files beside it; but then it does not read the log.
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"file:{quote(str(database))}?mode=ro{immutable}", uri=True)
