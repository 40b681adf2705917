"""Putting a new gallery in the place of another one, as re-embedding needs it.

The new gallery grows in the folder `re-embedding` inside the old one's. The order is the protocol: the old
snapshot and number of the last change go, which belong to the old database alone; the new database takes the
old one's place by a rename, the step that counts; the new snapshot follows. A process killed before the
rename leaves the old gallery, after it the new one; where the snapshot is missing, the next opening builds
the index.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.database.connections import DATABASE
from index.errors import GalleryError, GalleryReplacementError
from index.files.acknowledged import ACKNOWLEDGED
from index.files.disk import sync
from index.files.lock import FolderLock
from index.local.gallery import LocalGallery
from index.local.loss import check_loss
from index.record import GalleryHeader
from index.vectors.snapshot import MANIFEST, SNAPSHOT

STAGING = "re-embedding"


@contextmanager
def replacement(folder: Path, header: GalleryHeader) -> Iterator[tuple[LocalGallery, LocalGallery]]:
    """The gallery in `folder`, and a new one of this header, which takes its place after the block.

    Nobody else is let into the folder until then. Where the block raises, or the process ends, the old
    gallery stays as it is, and the next replacement by this header goes on with the new one as it is then;
    one by another header begins anew. What was set of the old gallery is set of the new one.

    Raises:
        FileNotFoundError: there is no gallery.
        GalleryError: it cannot be opened, or its files are in use by another program.
    """
    found = LocalGallery.describe(folder)
    staging = folder / STAGING
    old = LocalGallery.open(
        folder,
        fingerprint=found.fingerprint,
        descriptor_dim=found.descriptor_dim,
        strips_shape=found.strips_shape,
    )
    with old:
        with begun(folder, header) as new:
            yield old, new
            new.snapshot()
            new.quotas.set(old.quotas.quota())
            new.retention.set(old.retention.state.days)
        old.close(last=lambda: _take_place(folder, staging))
    shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def begun(folder: Path, header: GalleryHeader) -> Iterator[LocalGallery]:
    """The gallery of this header that is to take the place of the one in `folder`, begun or gone on with.

    The one in `folder` is left alone: a service may have it open.

    Raises:
        GalleryError: it cannot be opened, or another process is at work in it.
    """
    staging = folder / STAGING
    if not _is_begun(staging, header):
        shutil.rmtree(staging, ignore_errors=True)
    with LocalGallery.open(
        staging,
        fingerprint=header.fingerprint,
        descriptor_dim=header.descriptor_dim,
        strips_shape=header.strips_shape,
    ) as new:
        yield new


def _is_begun(staging: Path, header: GalleryHeader) -> bool:
    """Whether a gallery of this header is there, whole as far as it goes. Raises GalleryLockedError."""
    if staging.is_dir():
        FolderLock(staging).release()
    try:
        check_loss(staging)
        return LocalGallery.describe(staging) == header
    except (OSError, GalleryError):
        return False


def _take_place(folder: Path, staging: Path) -> None:
    # The last connection to close folds the write-ahead log into the database; one that is left behind would
    # be read as the other database's.
    for database in (folder / DATABASE, staging / DATABASE):
        if database.with_name(f"{DATABASE}-wal").exists():
            raise GalleryReplacementError(database)
    (folder / SNAPSHOT / MANIFEST).unlink(missing_ok=True)
    sync(folder / SNAPSHOT)
    (folder / ACKNOWLEDGED).unlink(missing_ok=True)
    shutil.rmtree(folder / SNAPSHOT)
    sync(folder)
    (staging / DATABASE).replace(folder / DATABASE)
    sync(folder)
    (staging / SNAPSHOT).replace(folder / SNAPSHOT)
    sync(folder)
