"""Backups of a gallery: its database as it is at one moment, whole and checked, made while it is in use.

A backup is a folder with `gallery.sqlite`, copied by SQLite's backup interface within one read transaction,
and `backup.json`, which has its SHA-256 and is written last. The folder grows under another name and gets its
own when both are on the disk. Everything else of a gallery's folder is made anew from the database.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from index.database.connections import DATABASE
from index.errors import GalleryBackupError
from index.files.acknowledged import ACKNOWLEDGED
from index.files.disk import create_folder, sync
from index.files.lock import FolderLock
from index.files.private import create_file, tighten
from index.files.space import MARGIN_BYTES, fullness_named, room
from index.local.loss import WAL
from index.upkeep.folder import check_apart
from index.upkeep.frozen import frozen
from index.vectors.snapshot import SNAPSHOT

MANIFEST = "backup.json"
PARTIAL = ".partial"
PAGES = 256  # of the database that are copied at a time; 1 MiB
PIECE = 1 << 20
MOST = 1 << 16  # bytes of a manifest

OnBytes = Callable[[int, int], None]
"""Called with the bytes that are done, and bytes in all."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself.

    Attributes:
        fingerprint: of the model.
        schema_version: of the database.
        images: that it holds.
        change: number of the last change in it.
        made_at: s since 1970.
        bytes: of the database.
        sha256: of the database.
    """

    fingerprint: str
    schema_version: int
    images: int
    change: int
    made_at: float
    bytes: int
    sha256: str


def back_up(folder: Path, target: Path, on_bytes: OnBytes = lambda _done, _total: None) -> Backup:
    """Copy a gallery's database to the new folder `target`; who has the gallery open goes on.

    Raises:
        FileNotFoundError: there is no gallery.
        GalleryError: it cannot be read; GalleryBackupError, that there is something at `target`, no room, or
            that it is in the data directory.
        OSError: a file cannot be written.
    """
    if target.exists():
        raise GalleryBackupError(f"there is something at {target} already; name another place for the backup")
    partial = target.with_name(target.name + PARTIAL)
    with frozen(folder, any_version=True) as (connection, header), fullness_named(target.parent):
        check_apart(folder, target)
        size = _number(connection, "PRAGMA page_count") * _number(connection, "PRAGMA page_size")
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_room(target.parent, size)
        # A backup that did not come to its end.
        shutil.rmtree(partial, ignore_errors=True)
        create_folder(partial)
        saved = partial / DATABASE
        create_file(saved)
        with closing(sqlite3.connect(saved)) as copy:
            # The file counts when the folder has its name, and not before.
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")

            def progress(_status: int, left: int, pages: int) -> None:
                on_bytes((pages - left) * size // max(1, pages), 2 * size)

            try:
                connection.backup(copy, pages=PAGES, progress=progress)
            except sqlite3.OperationalError as error:
                if (error.sqlite_errorcode & 0xFF) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                    raise
                shutil.rmtree(partial, ignore_errors=True)
                raise GalleryBackupError(
                    f"the backup cannot be written to {target.parent} ({error}); make room there"
                ) from error
            # Not one that is to have a log: it is read as it is.
            copy.execute("PRAGMA journal_mode = DELETE")
        sync(saved)
        backup = Backup(
            fingerprint=header.fingerprint,
            schema_version=_number(connection, "PRAGMA user_version"),
            images=_number(connection, "SELECT count(*) FROM record NOT INDEXED"),
            change=_number(connection, "SELECT coalesce(max(sequence), 0) FROM change"),
            made_at=time.time(),
            bytes=saved.stat().st_size,
            sha256=_sha256(saved, lambda done, total: on_bytes(size + done, size + total)),
        )
    manifest = partial / MANIFEST
    create_file(manifest)
    manifest.write_text(json.dumps(asdict(backup), indent=2) + "\n")
    sync(manifest)
    sync(partial)
    partial.rename(target)
    sync(target.parent)
    return backup


def restore(source: Path, folder: Path, on_bytes: OnBytes = lambda _done, _total: None) -> Backup:
    """Make the folder the gallery that a backup holds; one that is there already is never overwritten.

    Raises:
        GalleryBackupError: there is no backup at `source`, it is not what was written, a gallery is in the
            folder already, or there is no room.
        GalleryLockedError: the folder is in use.
        OSError: a file cannot be read or written.
    """
    backup = read_backup(source)
    _refuse_a_gallery(folder)
    create_folder(folder)
    tighten(folder)
    lock = FolderLock(folder)
    try:
        _refuse_a_gallery(folder)
        with fullness_named(folder):
            _check_room(folder, backup.bytes)
            restored = folder / f"{DATABASE}.restored"
            restored.unlink(missing_ok=True)
            create_file(restored)
            digest, done = hashlib.sha256(), 0
            with (source / DATABASE).open("rb") as reading, restored.open("wb") as writing:
                while piece := reading.read(PIECE):
                    digest.update(piece)
                    writing.write(piece)
                    done += len(piece)
                    on_bytes(done, backup.bytes)
            if (done, digest.hexdigest()) != (backup.bytes, backup.sha256):
                restored.unlink()
                raise GalleryBackupError(
                    f"{source / DATABASE} is not what {MANIFEST} says ({done:,} bytes, {backup.bytes:,} "
                    "expected, and their SHA-256); take another backup"
                )
            sync(restored)
            restored.rename(folder / DATABASE)
            sync(folder)
    finally:
        lock.release()
    return backup


def read_backup(source: Path) -> Backup:
    """What a backup says of itself. Raises GalleryBackupError where there is none that can be read."""
    try:
        with (source / MANIFEST).open("rb") as file:
            content = json.loads(file.read(MOST))
    except OSError as error:
        raise GalleryBackupError(
            f"{source} is no backup: its {MANIFEST} cannot be read ({error.strerror or error})"
        ) from None
    except (ValueError, RecursionError):
        raise GalleryBackupError(f"{source / MANIFEST} is no backup's manifest") from None
    return _parsed(content, source)


def _parsed(content: Any, source: Path) -> Backup:
    kinds: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("fingerprint", "sha256"), str),
        **dict.fromkeys(("schema_version", "images", "change", "bytes"), int),
        "made_at": (int, float),
    }
    if not isinstance(content, dict) or not all(isinstance(content.get(n), k) for n, k in kinds.items()):
        raise GalleryBackupError(f"{source / MANIFEST} is no backup's manifest")
    return Backup(**{name: content[name] for name in kinds})


def _refuse_a_gallery(folder: Path) -> None:
    for name in (DATABASE, WAL, ACKNOWLEDGED, SNAPSHOT):
        if (folder / name).exists():
            raise GalleryBackupError(
                f"{folder} holds a gallery, or parts of one ({name}), and is left as it is; restore into "
                "another folder, or move it away"
            )


def _check_room(folder: Path, size: int) -> None:
    _, free = room(folder)
    if free < size + MARGIN_BYTES:
        raise GalleryBackupError(
            f"{size + MARGIN_BYTES:,} bytes must be free in {folder}, and {free:,} are; make room"
        )


def _sha256(file: Path, on_bytes: OnBytes) -> str:
    digest, done, size = hashlib.sha256(), 0, file.stat().st_size
    with file.open("rb") as reading:
        while piece := reading.read(PIECE):
            digest.update(piece)
            done += len(piece)
            on_bytes(done, size)
    return digest.hexdigest()


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
