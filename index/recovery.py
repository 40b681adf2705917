"""How the vector index comes to agree with the database: from a snapshot, or from scratch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index.changes import Changes
from index.normalisation import RAW, Normalisation
from index.record import GalleryHeader
from index.snapshot import EarlierSnapshotError, Manifest, SnapshotError, SnapshotFolder
from index.vectors import Vectors

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """The index at the last change, and the manifest of the snapshot that it came from, if any.

    `rejected` says that there should have been a snapshot, and that it was not fit for use.
    """

    vectors: Vectors
    manifest: Manifest | None
    rejected: bool


def recover(
    changes: Changes,
    snapshots: SnapshotFolder,
    header: GalleryHeader,
    supersedes: Sequence[str] = (),
    *,
    normalisation: Normalisation = RAW,
    use_snapshot: bool = True,
) -> Recovered:
    """Bring the index back.

    A snapshot is used if it is of this format and its file is what its manifest says, if it belongs to this
    gallery and to this history of it, if this normalisation made its vectors, and if after the changes since
    then it holds the very ids of the database. One under a fingerprint that the header's supersedes gets the
    header's. Otherwise the file and the reason are logged and the index is built from the database, as it is
    without `use_snapshot`.
    """
    if not use_snapshot:
        return _built(changes, header, normalisation)
    try:
        manifest = snapshots.manifest()
        if manifest is not None and manifest.fingerprint in supersedes:
            manifest = snapshots.restate(manifest, header.fingerprint)
        vectors = _restored(changes, snapshots, header, manifest, normalisation)
        _catch_up(vectors, changes)
        if not np.array_equal(vectors.ids(), changes.ids()):
            raise snapshots.manifest_error("its snapshot does not hold the records of the database")
    except SnapshotError as error:
        level = logging.INFO if isinstance(error, EarlierSnapshotError) else logging.WARNING
        log.log(level, "vector snapshot not used, building the index from the database: %s", error)
        return _built(changes, header, normalisation)
    snapshots.sweep(manifest)
    return Recovered(vectors, manifest, rejected=False)


def rebuild(vectors: Vectors, changes: Changes) -> None:
    """Fill the index anew from the database, to the last change."""
    vectors.clear()
    for piece in changes.everything():
        vectors.add_described(piece)
    vectors.reach(changes.last())


def _built(changes: Changes, header: GalleryHeader, normalisation: Normalisation) -> Recovered:
    vectors = Vectors(header.descriptor_dim, normalisation)
    rebuild(vectors, changes)
    return Recovered(vectors, None, rejected=True)


def _restored(
    changes: Changes,
    snapshots: SnapshotFolder,
    header: GalleryHeader,
    manifest: Manifest | None,
    normalisation: Normalisation,
) -> Vectors:
    if manifest is None:
        # The log is shortened only when a snapshot holds what it loses.
        if not changes.reach_back_to(0):
            raise snapshots.manifest_error("is missing")
        return Vectors(header.descriptor_dim, normalisation)
    snapshots.check_format(manifest)
    if manifest.history not in ("", changes.history()):
        raise snapshots.manifest_error("was made of another gallery's database")
    if manifest.normalisation != normalisation.token:
        raise snapshots.manifest_error("its vectors were made by another version of the normalisation")
    if (manifest.fingerprint, manifest.descriptor_dim) != (header.fingerprint, header.descriptor_dim):
        raise snapshots.manifest_error("is of another model")
    if changes.token(manifest.sequence) != manifest.token or not changes.reach_back_to(manifest.sequence):
        raise snapshots.manifest_error(
            f"its change number {manifest.sequence} is not one of this database's history"
        )
    return snapshots.vectors(manifest, normalisation)


def _catch_up(vectors: Vectors, changes: Changes) -> None:
    since = vectors.sequence or 0
    gone = np.intersect1d(changes.deleted_after(since), vectors.ids())
    vectors.remove(gone, sequence=None)
    for piece in changes.enrolled_after(since):
        vectors.add_described(piece)
    vectors.reach(changes.last())
