"""What can go wrong with a gallery. Every error says what was found and what to do about it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Literal


class GalleryError(Exception):
    """Base of every error that the gallery raises about its contents or its state."""


class DuplicateImageError(GalleryError):
    """The image_id is enrolled already, or comes twice in one request; nothing was changed."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"image_id {image_id!r} is already enrolled; delete it first to replace it")
        self.image_id = image_id


class UnknownImageError(GalleryError):
    """No image of this image_id is enrolled."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"image_id {image_id!r} is not enrolled")
        self.image_id = image_id


class UnknownFrameError(GalleryError):
    """No frame of this image is kept."""

    def __init__(self, image_id: str) -> None:
        super().__init__(
            f"no frame is kept of image_id {image_id!r}; one is where `keep_frame` is sent with a frame"
        )


class UnknownVerdictError(GalleryError):
    """There is no verdict on this pair, or on this probe where `image_id` is None."""

    def __init__(self, probe: str, image_id: str | None) -> None:
        of = f"probe {probe!r}" + ("" if image_id is None else f" and image_id {image_id!r}")
        super().__init__(f"there is no verdict on {of}")
        self.probe = probe
        self.image_id = image_id


class TooManyVerdictsError(GalleryError):
    """A probe has as many verdicts as it may; nothing was changed."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"this probe has {most:,} verdicts, and may have no more; nothing was changed. Take some back by "
            "`DELETE /verdicts/{probe}/{image_id}`"
        )
        self.most = most


class UnknownCameraError(GalleryError):
    """Nothing is known of a camera of this id, or nothing of what was to be removed."""

    def __init__(self, camera_id: str) -> None:
        super().__init__(f"camera_id {camera_id!r} has no such images; enroll some, or calibrate the camera")
        self.camera_id = camera_id


class InvalidEnrollmentError(GalleryError):
    """A field of an enrollment is not what this gallery stores; nothing was changed."""

    def __init__(self, field: str, value: str, expectation: str) -> None:
        super().__init__(f"{field} is {value}, expected {expectation}")
        self.field = field
        self.value = value
        self.expectation = expectation


class InvalidProbeError(GalleryError):
    """The descriptors to search for are not what this gallery stores."""

    def __init__(self, value: str, expectation: str) -> None:
        super().__init__(f"probe descriptors are {value}, expected {expectation}")
        self.value = value
        self.expectation = expectation


class InvalidFilterError(GalleryError):
    """A search's filter asks for what this gallery cannot tell apart."""

    def __init__(self, value: str, expectation: str) -> None:
        super().__init__(f"the filter is {value}, expected {expectation}")
        self.value = value
        self.expectation = expectation


class FingerprintMismatchError(GalleryError):
    """The gallery was embedded by another model; descriptors of two models cannot be compared."""

    def __init__(self, path: Path, gallery_fingerprint: str, bundle_fingerprint: str) -> None:
        super().__init__(
            f"the gallery in {path} was embedded by the model with fingerprint {gallery_fingerprint}, "
            f"the bundle in use has fingerprint {bundle_fingerprint}; re-embed it with "
            f"`lka-reid gallery re-embed --data-dir {quote(str(path))}`, or start with another --data-dir"
        )
        self.path = path
        self.gallery_fingerprint = gallery_fingerprint
        self.bundle_fingerprint = bundle_fingerprint


class GalleryShapeError(GalleryError):
    """The fingerprint is the gallery's own, but the shapes named with it are not."""

    def __init__(self, path: Path, gallery_shapes: str, bundle_shapes: str) -> None:
        super().__init__(
            f"the gallery in {path} stores {gallery_shapes}, but was opened for {bundle_shapes} under the "
            "same fingerprint; the bundle's manifest does not describe the model that filled it"
        )
        self.path = path


class GallerySchemaError(GalleryError):
    """The database is not a gallery, or was written by a newer version of this software."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot open {path}: {reason}")
        self.path = path
        self.reason = reason


class GalleryMigrationError(GalleryError):
    """A gallery of an earlier version could not be brought to the present one, and stays what it is."""

    def __init__(self, path: Path, version: int, reason: str) -> None:
        super().__init__(f"{path} cannot be brought to schema version {version}: {reason}")
        self.path = path
        self.reason = reason


class GalleryDamagedError(GalleryError):
    """A file of the gallery cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        folder = quote(str(path.parent))
        super().__init__(
            f"{path.name} in {path.parent} is damaged ({reason}); with the service stopped, "
            f"`lka-reid gallery verify --data-dir {folder}` says what is, and `lka-reid gallery rebuild "
            f"--data-dir {folder}` mends indexes; for anything else restore it from a backup"
        )
        self.path = path
        self.reason = reason


class GalleryFullError(GalleryError):
    """The disk has no room for what was to be written; nothing was changed. `free` and `needed` in bytes."""

    def __init__(self, folder: Path, free: int, needed: int) -> None:
        super().__init__(
            f"the disk is full: {free:,} bytes are free for the gallery in {folder}, {needed:,} must be to "
            "enroll; make room on the disk, or delete images that are not needed"
        )
        self.folder = folder
        self.free = free
        self.needed = needed


class GalleryLossError(GalleryError):
    """Changes or images that were acknowledged are not in the database; nothing was changed."""

    def __init__(
        self, database: Path, found: int, known: int, witness: Path, unit: Literal["changes", "images"]
    ) -> None:
        missing = known - found
        if unit == "images":
            fault = f"{database} is damaged: it shows {found:,} images, but {witness} is of {known:,}: "
        else:
            ends = f"ends at change {found:,}" if found else "is empty or missing"
            fault = f"{database} {ends}, but {witness} is of change {known:,}: "
        lost = "is" if missing == 1 else "are"
        super().__init__(
            f"{fault}{_counted(missing, unit)} {lost} missing; nothing was touched. Restore the whole folder "
            "from a backup, or go on without them by "
            f"`lka-reid gallery rebuild --accept-loss {missing} --data-dir {quote(str(database.parent))}`"
        )
        self.database = database
        self.missing = missing


class DamagedImageError(GalleryError):
    """What the disk gave back of an image is not what was written; other images are not concerned."""

    def __init__(self, image_id: str, part: str) -> None:
        super().__init__(
            f"image_id {image_id!r} is damaged: its {part} differs from the checksum stored with it; restore "
            "the gallery from a backup, or delete the image and enroll it again; where the service does not "
            "start, `lka-reid gallery rebuild --drop-damaged` removes it"
        )
        self.image_id = image_id
        self.part = part


class GalleryLockedError(GalleryError):
    """Another process, or another Gallery in this one, has the folder open."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"the gallery in {path} is in use by {holder or 'another process'}; "
            "stop that one, or start with another --data-dir"
        )
        self.path = path
        self.holder = holder


class GalleryReplacementError(GalleryError):
    """Another program has a database open that was to be replaced, or to replace it; nothing was changed."""

    def __init__(self, database: Path) -> None:
        super().__init__(f"{database} is in use by another program; nothing was changed")
        self.database = database


class InvalidRetentionError(GalleryError):
    """Images cannot be kept for so many days; nothing was changed."""

    def __init__(self, days: int, most: int) -> None:
        super().__init__(f"images cannot be kept for {days} days; 1 to {most:,} are accepted")
        self.days = days


class NotErasedError(GalleryError):
    """Something is deleted and still in a file; the message says in which one, and why."""


class GalleryBackupError(GalleryError):
    """A backup or an archive cannot be made or used; the message says why, and what to do."""


class GalleryClosedError(GalleryError):
    """The gallery was closed; open it again to use it."""

    def __init__(self) -> None:
        super().__init__("the gallery is closed")


class UnknownCollectionError(GalleryError):
    """There is no collection of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no collection {name!r}; `lka-reid collections list` shows them")
        self.name = name


class DuplicateCollectionError(GalleryError):
    """There is a collection of this name; nothing was changed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a collection {name!r} already; nothing was changed")
        self.name = name


class FixedCollectionError(GalleryError):
    """The default collection cannot be dropped."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the collection {name!r} is always there; delete the images in it instead")
        self.name = name


class InvalidCollectionError(GalleryError):
    """A collection cannot be called this."""

    def __init__(self, value: str, rule: str) -> None:
        super().__init__(f"a collection cannot be called {value!r}; a name has {rule}")
        self.value = value
        self.rule = rule


class TooManyCollectionsError(GalleryError):
    """There are as many collections as can be."""

    def __init__(self, most: int) -> None:
        super().__init__(f"there are {most} collections beside the default one, which is the most; drop one")


class InvalidQuotaError(GalleryError):
    """A limit of a quota is none."""

    def __init__(self, field: Literal["images", "bytes"], value: int) -> None:
        super().__init__(
            f"a quota of {value} {field} is none; it takes 0 or more, or is left out for no limit"
        )
        self.field = field
        self.value = value


class QuotaReachedError(GalleryError):
    """What was to be enrolled would be more than the collection may hold; nothing was changed."""

    def __init__(self, unit: Literal["images", "bytes"], limit: int) -> None:
        super().__init__(
            f"the collection may hold {_counted(limit, unit)}, and would hold more; nothing was changed. "
            "Delete images of it, or have its quota raised by `lka-reid collections set-quota`"
        )
        self.unit = unit
        self.limit = limit


class ChangedImageError(GalleryError):
    """What is known of an image is not what a change was made for."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"what is known of image_id {image_id!r} has changed meanwhile; nothing was changed")


class UnknownWatchError(GalleryError):
    """There is no such watch, or not any more."""

    def __init__(self, watch_id: int) -> None:
        super().__init__(f"there is no watch {watch_id}, or not any more")


class UnknownAlertError(GalleryError):
    """No dead letter has this id."""

    def __init__(self, alert_id: int) -> None:
        super().__init__(f"there is no dead letter {alert_id}, or not any more")


class TooManyWatchesError(GalleryError):
    """A gallery has as many watches as it may."""

    def __init__(self, most: int) -> None:
        super().__init__(f"there are {most:,} watches, which is the most; delete those that are not needed")


class IndexDeviceError(GalleryError):
    """The GPU that a vector index is to be searched on cannot be used."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"the vector index is to be on a GPU, which cannot be used: {reason}; {remedy}")


def _counted(number: int, unit: str) -> str:
    """A number and its noun, which is given with its s."""
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"
