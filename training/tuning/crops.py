"""Crops of vehicles that nobody has named: read from folders, each with its camera."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path

from models.intake.files import reason_of
from models.intake.folder import find_images
from models.wording import counted
from training.datasets.image import DatasetError, VehicleImage


class CameraFrom(StrEnum):
    """What says which camera took a crop."""

    folder = "folder"
    prefix = "prefix"


def read_crops(root: Path, camera_from: CameraFrom) -> list[VehicleImage]:
    """All crops below a folder; each is taken for a vehicle of its own.

    Args:
        root: the folder.
        camera_from: the folder directly below it, or what stands before the first `_` of a file's name.

    Raises:
        DatasetError: no such folder, no image in it, an image of no camera, or one camera alone.
    """
    try:
        found = find_images(root)
    except OSError as error:
        raise DatasetError(f"{root}: {reason_of(error)}") from None
    images = []
    for path in found.images:
        inner = path.relative_to(root)
        prefix, underscore, _ = path.stem.partition("_")
        camera = inner.parts[0] if len(inner.parts) > 1 else ""
        if camera_from is CameraFrom.prefix:
            camera = prefix if underscore else ""
        if not camera:
            wanted = "CAMERA/..." if camera_from is CameraFrom.folder else "CAMERA_..."
            raise DatasetError(f"{path}: says no camera; it is to be {root.name}/{wanted}")
        images.append(VehicleImage(path, inner.as_posix(), camera, origin=inner.as_posix()))
    cameras = {image.camera_id for image in images}
    if not images:
        raise DatasetError(f"{root}: holds no image")
    if len(cameras) < 2:
        raise DatasetError(
            f"{root}: every crop ({len(images):,}) is from camera {images[0].camera_id}; it takes two cameras"
        )
    return images


def require_across(images: list[VehicleImage], least: int) -> None:
    """See that crops make so many pairs from two cameras, before anything is done with them.

    Raises:
        DatasetError: they do not.
    """
    of_camera = Counter(image.camera_id for image in images)
    pairs = (len(images) ** 2 - sum(count**2 for count in of_camera.values())) // 2
    if pairs < least:
        raise DatasetError(
            f"{counted(len(images), 'crop makes', 'crops make')} {counted(pairs, 'pair')} from two cameras, "
            f"and a threshold takes {least:,}; "
            "give more crops, of two cameras or more"
        )


def evenly(images: list[VehicleImage], most: int) -> list[VehicleImage]:
    """At most so many images, of each camera alike and evenly spaced in their order."""
    cameras: dict[str, list[VehicleImage]] = {}
    for image in images:
        cameras.setdefault(image.camera_id, []).append(image)
    kept: list[VehicleImage] = []
    left = most
    for number, own in enumerate(sorted(cameras.values(), key=len)):
        share = min(len(own), left // (len(cameras) - number))
        left -= share
        kept += [own[place * len(own) // share] for place in range(share)]
    return kept
