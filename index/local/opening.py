"""Opening a gallery in a folder of this machine: the lock, the database, the vector index, the threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.cameras.estimation import Mode
from index.database.failures import misread_named
from index.database.store import Store
from index.files.disk import create_folder
from index.files.lock import FolderLock
from index.files.private import tighten_gallery
from index.files.space import fullness_named
from index.local.erasure import Erasure
from index.local.loss import check_loss
from index.local.mirror import Mirror
from index.local.reindexing import Reindexing
from index.local.renewal import Renewal
from index.local.snapshot_writer import SnapshotWriter
from index.local.successor import Successor
from index.record import GalleryHeader
from index.vectors.builder import Builder
from index.vectors.device import start
from index.vectors.kind import IndexSetup
from index.vectors.recovery import recover
from index.vectors.snapshot import SNAPSHOT, SnapshotFolder
from index.vectors.source import Source


@dataclass(frozen=True, slots=True)
class Parts:
    """What a gallery on this machine consists of; no thread of it has begun yet.

    Attributes:
        header: of the gallery.
        mirror: the database and the index.
        snapshots: writes the index to disk.
        renewal: of the camera normalisation.
        reindexing: makes another kind of index.
        erasure: of what is deleted, from every file.
        lock: on the folder.
    """

    header: GalleryHeader
    mirror: Mirror
    snapshots: SnapshotWriter
    renewal: Renewal
    reindexing: Reindexing
    erasure: Erasure
    lock: FolderLock


@contextmanager
def opened_parts(
    path: Path,
    header: GalleryHeader,
    supersedes: Sequence[str],
    index: IndexSetup,
    normalisation: Mode | None,
    *,
    snapshot_every: int,
    use_snapshot: bool,
) -> Iterator[Parts]:
    """The parts of the gallery in a folder, for one to be made of them; see `LocalGallery.open`.

    Where the block raises, the database is closed again and the folder's lock let go.
    """
    device = start(index.device, index.gpu)
    with fullness_named(path), ExitStack() as undo:
        create_folder(path)
        lock = FolderLock(path)
        undo.callback(lock.release)
        tighten_gallery(path)
        check_loss(path)
        store = Store(path, header, supersedes)
        undo.callback(store.close)
        folder = SnapshotFolder(path / SNAPSHOT)
        builder = Builder(Source(store.reading), header.descriptor_dim, index, device)
        with store.failures_named(), misread_named(store.database):
            in_force = store.normalisation()
            if normalisation == "off" and not in_force.is_raw:
                in_force = store.renew(None)
            recovered = recover(
                store.changes,
                folder,
                header,
                builder,
                supersedes,
                normalisation=in_force,
                use_snapshot=use_snapshot,
            )
        mirror = Mirror(store, recovered.vectors)
        snapshots = SnapshotWriter(
            mirror, folder, header, recovered.manifest, every=snapshot_every, due=recovered.rejected
        )
        successor = Successor(mirror, snapshots, builder)
        renewal = Renewal(mirror, successor, normalisation)
        reindexing = Reindexing(mirror, successor)
        erasure = Erasure(path, mirror, snapshots, renewal)
        yield Parts(header, mirror, snapshots, renewal, reindexing, erasure, lock)
        undo.pop_all()
