"""Re-embedding: a gallery's images through another bundle, and the result put in its place.

The new gallery grows in a folder inside the old one. The one step that counts is the last: its database takes
the old one's place by a rename. Whatever happens before that, the old gallery is untouched; the old search
index left beside the new database does not belong to its history and is rebuilt when the gallery is opened.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from index import Enrollment, Gallery, LocalGallery, Record
from index.connections import DATABASE
from index.lock import FolderLock
from models.bundle import Bundle
from models.decoding import ImageError, decode
from models.inputspec import InputSpec
from models.preprocessing import prepare
from service.inference.forward import EmbeddingError, Features, ForwardPass

STAGING = "re-embedding"
PAGE = 256


class ReembeddingError(Exception):
    """The gallery was left as it was; the message says why."""


@dataclass(frozen=True)
class Reembedded:
    """What became of a gallery: images embedded anew, and those that were left out, with the reason."""

    embedded: int
    left_out: list[tuple[str, str]]


def re_embed(
    folder: Path,
    bundle: Bundle,
    forward: ForwardPass,
    *,
    batch: int = 8,
    leave_out_failed: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Reembedded:
    """Embed every image of the gallery in `folder` by another bundle; records keep everything else.

    Args:
        folder: of the gallery; nothing else may have it open.
        bundle: what it will belong to.
        forward: the bundle's embedder.
        batch: images in a batch.
        leave_out_failed: leave images out that cannot be embedded, instead of giving up.
        on_progress: told images done and images in all.

    Raises:
        ReembeddingError: an image cannot be embedded, naming the first.
        FileNotFoundError: there is no gallery.
        GalleryError: it is damaged or in use.
    """
    header = LocalGallery.describe(folder)
    staging = folder / STAGING
    failed: list[tuple[str, str]] = []
    done = 0
    with LocalGallery.open(
        folder,
        fingerprint=header.fingerprint,
        descriptor_dim=header.descriptor_dim,
        strips_shape=header.strips_shape,
    ) as old:
        # Left by a run that was interrupted.
        shutil.rmtree(staging, ignore_errors=True)
        with LocalGallery.open(
            staging,
            fingerprint=bundle.fingerprint,
            descriptor_dim=bundle.manifest.descriptor_dim,
            strips_shape=bundle.manifest.strips,
        ) as new:
            total = old.count()
            for records in _batches(old, batch):
                enrollments, faults = _embed(old, records, forward, bundle.manifest.input)
                if faults and not leave_out_failed:
                    image_id, reason = faults[0]
                    raise ReembeddingError(
                        f"image {image_id!r} cannot be embedded ({reason}); nothing was changed"
                    )
                new.enroll_many(enrollments)
                failed += faults
                done += len(records)
                on_progress(done, total)
    _take_place(folder, staging)
    return Reembedded(done - len(failed), failed)


def _batches(gallery: Gallery, size: int) -> Iterator[list[Record]]:
    after: int | None = None
    while True:
        page = gallery.page(after, PAGE)
        yield from (list(page.records[start : start + size]) for start in range(0, len(page.records), size))
        if page.next is None:
            return
        after = page.next


def _embed(
    gallery: Gallery, records: list[Record], forward: ForwardPass, spec: InputSpec
) -> tuple[list[Enrollment], list[tuple[str, str]]]:
    enrollments: list[Enrollment] = []
    faults: list[tuple[str, str]] = []
    for record, data, features in _features(gallery, records, forward, spec):
        if isinstance(features, str):
            faults.append((record.image_id, features))
            continue
        enrollments.append(
            Enrollment(
                image_id=record.image_id,
                vehicle_id=record.vehicle_id,
                camera_id=record.camera_id,
                captured_at=record.captured_at,
                view=record.view,
                tags=record.tags,
                descriptor=features.descriptor,
                strips=features.strips,
                image=data,
                media_type=record.media_type,
                enrolled_at=record.enrolled_at,
            )
        )
    return enrollments, faults


def _features(
    gallery: Gallery, records: list[Record], forward: ForwardPass, spec: InputSpec
) -> Iterator[tuple[Record, bytes, Features | str]]:
    """Each record with its image file and its features, or the reason why there are none."""
    prepared = []
    for record in records:
        data, _ = gallery.image(record.image_id)
        try:
            prepared.append((record, data, prepare(decode(data), spec)))
        except ImageError as error:
            yield record, data, str(error)
    if not prepared:
        return
    try:
        together = forward([image for _, _, image in prepared])
    except EmbeddingError:
        for record, data, image in prepared:
            try:
                yield record, data, forward([image])[0]
            except EmbeddingError as error:
                yield record, data, str(error)
        return
    for (record, data, _), features in zip(prepared, together, strict=True):
        yield record, data, features


def _take_place(folder: Path, staging: Path) -> None:
    lock = FolderLock(folder)
    try:
        # The last connection to close folds the write-ahead log into the database; one that is left behind
        # would be read as the other database's.
        for database in (folder / DATABASE, staging / DATABASE):
            if database.with_name(DATABASE + "-wal").exists():
                raise ReembeddingError(f"{database} is in use by another program; nothing was changed")
        (staging / DATABASE).replace(folder / DATABASE)
        _sync(folder)
    finally:
        lock.release()
    shutil.rmtree(staging, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
