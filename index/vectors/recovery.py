"""How the vector index comes to agree with the database: from a snapshot, or from scratch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index.cameras.normalisation import RAW, Normalisation
from index.database.changes import Changes
from index.errors import DamagedImageError
from index.record import GalleryHeader
from index.vectors.builder import Builder
from index.vectors.kind import CODED
from index.vectors.snapshot import EarlierSnapshotError, Manifest, SnapshotError, SnapshotFolder
from index.vectors.vectors import Vectors

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
    builder: Builder,
    supersedes: Sequence[str] = (),
    *,
    normalisation: Normalisation = RAW,
    use_snapshot: bool = True,
) -> Recovered:
    """Bring the index back.

    A snapshot is used if it is of this format and its file is what its manifest says, if it belongs to this
    gallery and to this history of it, and if this normalisation made its codes. What the database has not is
    taken out, and what it has besides is added. One under a fingerprint that the header's supersedes gets the
    header's. Otherwise the file and the reason are logged and the index is built from the database, as it is
    without `use_snapshot`, or where it is to be flat: a snapshot holds nothing of that. A descriptor that is
    damaged is logged and left out of searches; DamagedImageError is raised without `use_snapshot`.
    """
    if not use_snapshot:
        return _built(changes, builder, normalisation, strict=True)
    try:
        manifest = snapshots.manifest()
        if manifest is not None and manifest.fingerprint in supersedes:
            manifest = snapshots.restate(manifest, header.fingerprint)
        vectors = _restored(changes, snapshots, header, builder, manifest, normalisation)
    except SnapshotError as error:
        level = logging.INFO if isinstance(error, EarlierSnapshotError) else logging.WARNING
        log.log(level, "vector snapshot not used, building the index from the database: %s", error)
        return _built(changes, builder, normalisation)
    _catch_up(vectors, changes, builder)
    snapshots.sweep(manifest)
    return Recovered(vectors, manifest, rejected=False)


def rebuild(vectors: Vectors, changes: Changes) -> None:
    """Fill the index anew from the database, to the last change."""
    vectors.clear()

    def leave_out(record_id: int, error: DamagedImageError) -> None:
        log.error("%s; searches leave it out", error)
        vectors.leave_out(record_id)

    for piece in changes.everything(leave_out):
        vectors.add_described(piece)
    vectors.reach(changes.last())


def _built(
    changes: Changes, builder: Builder, normalisation: Normalisation, *, strict: bool = False
) -> Recovered:
    ids = changes.ids()
    vectors = builder.empty(builder.at_first(len(ids)), ids, normalisation)
    _catch_up(vectors, changes, builder, strict=strict)
    return Recovered(vectors, None, rejected=True)


def _restored(
    changes: Changes,
    snapshots: SnapshotFolder,
    header: GalleryHeader,
    builder: Builder,
    manifest: Manifest | None,
    normalisation: Normalisation,
) -> Vectors:
    count = changes.count()
    at_first = builder.at_first(count)
    if manifest is None:
        # The log is shortened only when a snapshot holds what it loses.
        if not changes.reach_back_to(0):
            raise snapshots.manifest_error("is missing")
        return builder.empty(at_first, changes.ids(), normalisation)
    snapshots.check_format(manifest)
    if manifest.history != changes.history():
        raise snapshots.manifest_error("was made of another gallery's database")
    if manifest.normalisation != normalisation.token:
        raise snapshots.manifest_error("its vectors were made by another version of the normalisation")
    if (manifest.fingerprint, manifest.descriptor_dim) != (header.fingerprint, header.descriptor_dim):
        raise snapshots.manifest_error("is of another model")
    if changes.token(manifest.sequence) != manifest.token or not changes.reach_back_to(manifest.sequence):
        raise snapshots.manifest_error(
            f"its change number {manifest.sequence} is not one of this database's history"
        )
    content = snapshots.content(manifest)
    kind = content.kind
    if kind not in CODED or builder.setup.choose(count, kind) != kind:
        return builder.empty(at_first, changes.ids(), normalisation)
    try:
        vectors = builder.of_file(content, normalisation)
        vectors.reach(manifest.sequence)
        return vectors
    except (ValueError, TypeError, KeyError) as error:
        raise snapshots.file_error(manifest, f"is not an index: {error}") from error


def _catch_up(vectors: Vectors, changes: Changes, builder: Builder, *, strict: bool = False) -> None:
    # An image whose camera was amended has the same number, and another vector.
    held, wanted, touched = vectors.ids(), changes.ids(), changes.touched_after(vectors.sequence or 0)
    kept = np.setdiff1d(np.intersect1d(held, wanted), touched)
    vectors.remove(np.setdiff1d(held, kept), sequence=None)
    builder.fill(vectors, np.setdiff1d(wanted, kept), strict=strict)
    vectors.reach(changes.last())
