"""What is deleted leaves every file of a gallery's folder, a short while later, by a thread.

A deletion overwrites its rows (`PRAGMA secure_delete`) and is acknowledged; what else holds the image is left
for a pass, whose order is the protocol: the version of the camera normalisation, where it knows a camera that
has no images any more; the snapshot of the vector index; backups that a migration left
(`index.local.remains`); copies on the database's own pages (`index.database.slack`), for which it is written
anew; the write-ahead log last, which has seen all of it. Every step leaves a gallery that is whole, and does
again what a process that was killed has begun.

The log of changes names the deletions since the snapshot: where there are any, or a process that was killed
left a write-ahead log, the next opening makes a pass.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from index.database.connections import DATABASE
from index.database.slack import has_remnants, has_written_free_pages
from index.errors import DamagedImageError, GalleryClosedError, GalleryError, NotErasedError
from index.local.mirror import Mirror
from index.local.remains import erase_remains
from index.local.renewal import Renewal
from index.local.snapshot_writer import SnapshotWriter

DELAY_S: Final = 60.0
"""s after a deletion that a pass begins: those that come together have one."""
RETRY_S: Final = 60.0
"""s after a pass that failed."""
ANEW_S: Final = 3600.0
"""s between two times that the database is written anew, for which changes wait."""
ANEW_BYTES: Final = 1 << 30
"""A larger database is not looked through, nor written anew, while it is in use; `lka-reid gallery purge` is
for that."""
READERS_S: Final = 10.0
"""s that a pass waits for searches that still read the write-ahead log."""

ROOTS = "SELECT type, rootpage FROM sqlite_schema WHERE rootpage > 0"

log = logging.getLogger(__name__)


class Erasure:
    """Makes the passes of one gallery.

    Args:
        folder: of the gallery.
        mirror: the database and the index.
        snapshots: of the index.
        renewal: of the camera normalisation.
    """

    def __init__(self, folder: Path, mirror: Mirror, snapshots: SnapshotWriter, renewal: Renewal) -> None:
        self._folder = folder
        self._mirror = mirror
        self._snapshots = snapshots
        self._renewal = renewal
        self._waking = threading.Condition()
        self._passing = threading.Lock()
        self._since: float | None = None  # of the first deletion that no pass has seen to
        self._last = -1.0  # deletion
        self._due = 0.0
        self._written_anew = -ANEW_S
        self._file: int | None = None
        self._closing = False
        self._thread: threading.Thread | None = None

    def opened(self) -> None:
        """Have a pass made where a former process left deletions to see to; returns at once."""
        with self._mirror.settled():
            owing = self._mirror.store.changes.has_deleted_after(self._snapshots.sequence())
        # A log that a process left which was killed may hold more, such as a verdict that was undone.
        log_file = self._folder / f"{DATABASE}-wal"
        if owing or (log_file.exists() and log_file.stat().st_size):
            self.deleted()

    def deleted(self) -> None:
        """Something was deleted: have a pass made after `DELAY_S`; returns at once."""
        with self._waking:
            self._last = time.monotonic()
            if self._since is None:
                self._since = self._last
                self._due = self._since + DELAY_S
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="gallery-erasure", daemon=True)
                self._thread.start()
            self._waking.notify_all()

    def pending_seconds(self) -> float:
        """s since the first deletion that is not erased from every file; 0 where there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def erase(self, *, in_use: bool = True) -> None:
        """Make a pass now.

        Args:
            in_use: whether changes must not wait long.

        Raises:
            NotErasedError: something stays in a file for now.
            GalleryFullError, OSError: a file cannot be written.
            GalleryClosedError: the gallery is closed, or was meanwhile.
        """
        with self._passing:
            begun = time.monotonic()
            with suppress(DamagedImageError):  # which the renewal's own thread tells
                self._renewal.forget_the_gone()
            changes = self._mirror.store.changes
            with self._mirror.settled():
                is_stale = changes.has_deleted_after(self._snapshots.sequence())
            if is_stale:
                self._snapshots.write()
            erase_remains(self._folder)
            self._empty_log()
            self._clear_pages(in_use=in_use)
            self._empty_log()
            with self._waking:
                # What was deleted meanwhile is for the next pass.
                self._since = begun if self._last > begun else None

    def close(self) -> None:
        """End the thread; what is under way is finished. Idempotent."""
        with self._waking:
            self._closing = True
            self._waking.notify_all()
        if self._thread is not None:
            self._thread.join()
        with self._passing:
            pass

    def release(self) -> None:
        """Close the file, after SQLite has closed it. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _empty_log(self) -> None:
        until = time.monotonic() + READERS_S
        while True:
            with self._mirror.settled():
                if self._mirror.store.empty_log():
                    return
            if time.monotonic() > until or self._closing:
                raise NotErasedError(f"{self._folder / DATABASE}-wal is being read and was not emptied")
            time.sleep(0.1)

    def _clear_pages(self, *, in_use: bool) -> None:
        """Write the database anew, or its indexes, where a copy of a row may be left on its pages."""
        size = (self._folder / DATABASE).stat().st_size
        if in_use and size > ANEW_BYTES:
            log.info(
                "%s has %d bytes and is not looked through for parts of deleted rows while it is in use; "
                "with the service stopped, `lka-reid gallery purge` does it",
                self._folder / DATABASE,
                size,
            )
            return
        tables, indexes = self._remnants()
        if not tables and not indexes:
            return
        if in_use and time.monotonic() - self._written_anew < ANEW_S:
            raise NotErasedError(
                f"{self._folder / DATABASE} may hold parts of rows that are deleted; it was written anew a "
                f"short while ago, and is again at most {ANEW_S / 60:.0f} minutes later"
            )
        with self._mirror.settled():
            self._mirror.store.write_anew(all_of_it=tables)
        self._written_anew = time.monotonic()
        self._empty_log()
        if not tables and any(self._remnants()):
            with self._mirror.settled():
                self._mirror.store.write_anew(all_of_it=True)

    def _remnants(self) -> tuple[bool, bool]:
        """Whether tables, or free pages, and whether indexes hold bytes of rows that are gone."""
        store = self._mirror.store
        if self._file is None:
            self._file = os.open(self._folder / DATABASE, os.O_RDONLY | os.O_CLOEXEC)
        with store.reading() as connection:
            # What is read from now on keeps SQLite from moving a log into the file.
            connection.execute("BEGIN")
            try:
                roots = connection.execute(ROOTS).fetchall()
                tables = [root for kind, root in roots if kind == "table"]
                indexes = [root for kind, root in roots if kind == "index"]
                return (
                    has_remnants(self._file, [1, *tables]) or has_written_free_pages(self._file),
                    has_remnants(self._file, indexes),
                )
            except ValueError as error:
                # A page that was moved into the file meanwhile: another look, at the next pass.
                raise NotErasedError(
                    f"{self._folder / DATABASE} changed while it was looked at: {error}"
                ) from error
            finally:
                connection.rollback()

    def _run(self) -> None:
        while self._awaited():
            try:
                self.erase()
            except GalleryClosedError:
                return
            except NotErasedError as error:
                log.info("erasing goes on in %.0f s: %s", RETRY_S, error)
            except GalleryError as error:  # no room, or damage
                log.warning("what is deleted is in some files still; erasing goes on: %s", error)
            except Exception:
                log.exception("what is deleted could not be erased from every file; it is tried again")
            with self._waking:
                if self._since is not None:
                    self._due = max(self._since + DELAY_S, time.monotonic() + RETRY_S)

    def _awaited(self) -> bool:
        """Wait until a pass is due; False where none will be any more."""
        with self._waking:
            while not self._closing:
                left = None if self._since is None else self._due - time.monotonic()
                if left is not None and left <= 0:
                    return True
                self._waking.wait(left)
            return False
