"""Re-embedding: a gallery's images through another bundle, and the result put in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from index import (
    Decision,
    Enrollment,
    Gallery,
    GalleryHeader,
    Page,
    Record,
    UnknownFrameError,
    UnknownImageError,
)
from index.upkeep.reader import GalleryReader
from index.upkeep.replacement import begun, replacement
from models.bundle import Bundle
from models.decoding import ImageError, decode
from models.inputspec import InputSpec
from models.preprocessing import prepare
from service.commands.carried_watches import carry_watches
from service.inference.forward import EmbeddingError, Features, ForwardPass

PAGE = 256


class ReembeddingError(Exception):
    """An image cannot be embedded; the gallery was left as it was."""


@dataclass(frozen=True)
class Reembedded:
    """What became of a gallery.

    Attributes:
        embedded: images embedded anew, those of an interrupted run among them.
        left_out: images that were not, each with the reason.
        resumed: images that an interrupted run had embedded.
        calibrated: cameras whose calibration is dropped: its images are not kept, and its sums are the old
            model's.
    """

    embedded: int
    left_out: list[tuple[str, str]]
    resumed: int
    calibrated: list[str]


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

    Done again after an interruption, it goes on where that was; what was changed or deleted meanwhile is so.

    Args:
        folder: of the gallery; nothing else may have it open.
        bundle: what it will belong to.
        forward: the bundle's embedder.
        batch: images in a batch.
        leave_out_failed: leave images out that cannot be embedded, instead of giving up.
        on_progress: called with images done and images in all.

    Raises:
        ReembeddingError: an image cannot be embedded, naming the first.
        FileNotFoundError: there is no gallery.
        GalleryError: it is damaged or in use.
        OSError: a file cannot be written.
    """
    manifest = bundle.manifest
    header = GalleryHeader(bundle.fingerprint, manifest.descriptor_dim, manifest.strips)
    with replacement(folder, header) as (old, new):
        calibrated = [state.camera_id for state in old.cameras.overview().cameras if state.calibrated]
        run = _Run(old, new, forward, manifest.input, leave_out_failed, on_progress)
        run.embed_all(batch)
        _carry_verdicts(old, new)
        _carry_frames(old, new)
        carry_watches(old, new, forward, manifest.input)
    return Reembedded(run.embedded, run.failed, run.resumed, calibrated)


def re_embed_ahead(
    folder: Path,
    bundle: Bundle,
    forward: ForwardPass,
    *,
    batch: int = 8,
    leave_out_failed: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Reembedded:
    """As `re_embed`, beside a service that has the gallery open, and without the last step.

    `re_embed` then embeds what came meanwhile, and puts the new gallery in the old one's place.
    """
    manifest = bundle.manifest
    header = GalleryHeader(bundle.fingerprint, manifest.descriptor_dim, manifest.strips)
    with begun(folder, header) as new:
        run = _Run(GalleryReader(folder), new, forward, manifest.input, leave_out_failed, on_progress)
        run.embed_all(batch)
        new.erase(in_use=False)
        new.snapshot()
    return Reembedded(run.embedded, run.failed, run.resumed, [])


class _Source(Protocol):
    """Where images come from."""

    def count(self) -> int:
        """How many there are."""

    def page(self, after: int | None = None, limit: int = 100) -> Page:
        """See `Gallery`."""

    def get(self, image_id: str) -> Record:
        """See `Gallery`."""

    def image(self, image_id: str) -> tuple[bytes, str]:
        """See `Gallery`."""


class _Run:
    """Embeds what another gallery holds and this one does not."""

    def __init__(
        self,
        old: _Source,
        new: Gallery,
        forward: ForwardPass,
        spec: InputSpec,
        leave_out_failed: bool,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._old = old
        self._new = new
        self._forward = forward
        self._spec = spec
        self._leave_out_failed = leave_out_failed
        self._on_progress = on_progress
        self.failed: list[tuple[str, str]] = []
        self.embedded = 0
        self.resumed = 0

    def embed_all(self, batch: int) -> None:
        """Embed everything that is missing, and delete what is not there any more."""
        total = self._old.count()
        done = 0
        for records in _batches(self._old, batch):
            missing = [record for record in records if not _is_carried(self._old, self._new, record)]
            self.resumed += len(records) - len(missing)
            enrollments, faults = _embed(self._old, missing, self._forward, self._spec)
            if faults and not self._leave_out_failed:
                image_id, reason = faults[0]
                raise ReembeddingError(
                    f"image {image_id!r} cannot be embedded ({reason}); nothing was changed"
                )
            self._new.enroll_many(enrollments)
            self.failed += faults
            self.embedded += len(records) - len(faults)
            done += len(records)
            self._on_progress(done, total)
        _drop_the_gone(self._old, self._new)


def _is_carried(old: _Source, new: Gallery, record: Record) -> bool:
    """Whether an interrupted run has embedded an image; it is then made known as it is now."""
    try:
        held = new.get(record.image_id)
    except UnknownImageError:
        return False
    try:
        is_same = new.image(record.image_id) == old.image(record.image_id)
    except UnknownImageError:
        return True  # deleted meanwhile, and seen to at the end
    if held.enrolled_at != record.enrolled_at or not is_same:
        # Deleted meanwhile, and another one enrolled under its id.
        new.delete(record.image_id)
        return False
    new.update(
        record.image_id,
        {
            "vehicle_id": record.vehicle_id,
            "camera_id": record.camera_id,
            "captured_at": record.captured_at,
            "view": record.view,
            "vehicle_type": record.vehicle_type,
            "tags": record.tags,
        },
    )
    return True


def _drop_the_gone(old: _Source, new: Gallery) -> None:
    """Delete what an interrupted run has embedded and is deleted since."""
    for records in _batches(new, PAGE):
        for record in records:
            try:
                old.get(record.image_id)
            except UnknownImageError:
                new.delete(record.image_id)


def _batches(gallery: _Source, size: int) -> Iterator[list[Record]]:
    after: int | None = None
    while True:
        page = gallery.page(after, PAGE)
        yield from (list(page.records[start : start + size]) for start in range(0, len(page.records), size))
        if page.next is None:
            return
        after = page.next


def _carry_frames(old: Gallery, new: Gallery) -> None:
    """Keep the frames that are kept; those of images that were left out go with them."""
    for records in _batches(old, PAGE):
        for record in records:
            with suppress(UnknownFrameError, UnknownImageError):
                new.frames.keep([record.image_id], old.frames.of(record.image_id))


def _carry_verdicts(old: Gallery, new: Gallery) -> None:
    """Keep what people decided; verdicts on images that were left out go with them."""
    after: int | None = None
    while True:
        page = old.verdicts.page(after, PAGE)
        for verdict in page.verdicts:
            probe, media_type = old.verdicts.probe(verdict.probe)
            decision = Decision(
                probe=probe,
                media_type=media_type,
                image_id=verdict.image_id,
                kind=verdict.kind,
                camera_id=verdict.camera_id,
                decided_at=verdict.decided_at,
                decided_by=verdict.decided_by,
            )
            with suppress(UnknownImageError):
                new.verdicts.decide(decision)
        if page.next is None:
            return
        after = page.next


def _embed(
    gallery: _Source, records: list[Record], forward: ForwardPass, spec: InputSpec
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
                vehicle_type=record.vehicle_type,
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
    gallery: _Source, records: list[Record], forward: ForwardPass, spec: InputSpec
) -> Iterator[tuple[Record, bytes, Features | str]]:
    """Each record with its image file and its features, or the reason why there are none."""
    prepared = []
    for record in records:
        try:
            data, _ = gallery.image(record.image_id)
        except UnknownImageError:
            continue  # deleted meanwhile
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
