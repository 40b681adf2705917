"""A folder a vehicle, for images that no list describes.

    vehicle/camera_anything.jpg                       the camera is what stands before the first `_`
    vehicle/camera/anything.jpg                       or a folder
    vehicle/anything.jpg                              or unknown, where there is no `_`

All of it lies in the root (every image then queries all others), or in its folders `train`, `query` and
`gallery`, any of which may be missing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from models.intake.files import reason_of
from models.intake.folder import LeftOut, find_images
from models.intake.names import shown
from models.wording import counted
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers import LAYOUTS, Layout

LAYOUT = "folder"
PARTS = ("train", "query", "gallery")


def is_folder(root: Path) -> bool:
    """Whether a folder has folders."""
    return root.is_dir() and any(entry.is_dir() for entry in root.iterdir())


def read(root: Path) -> Dataset:
    """A folder of vehicles; images are not looked at.

    Raises:
        DatasetError: no such folder, no image in it, an image outside a vehicle's folder, a link that leads
            nowhere, a folder that cannot be listed, or queries without a gallery.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    parts = [part for part in PARTS if (root / part).is_dir()]
    if not parts:
        images, others = _vehicles(root, root)
        task = Task("all against all", images, images)
        return Dataset(LAYOUT, root, images, [task], has_split=False, notes=_notes(images, others))
    if ("query" in parts) != ("gallery" in parts):
        raise DatasetError(f"{root}: has one of the folders query and gallery, but not the other")
    found: dict[str, list[VehicleImage]] = {}
    left_out: list[LeftOut] = []
    for part in parts:
        found[part], left = _vehicles(root, root / part)
        left_out += left
    tasks = [Task("test", found["query"], found["gallery"])] if "query" in found else []
    everything = [image for images in found.values() for image in images]
    return Dataset(LAYOUT, root, found.get("train", []), tasks, notes=_notes(everything, left_out))


def _vehicles(root: Path, part: Path) -> tuple[list[VehicleImage], list[LeftOut]]:
    images = []
    try:
        found = find_images(part)
    except OSError as error:
        raise DatasetError(f"{part}: {reason_of(error)}") from None
    for left in found.left_out:
        if left.missing:
            raise DatasetError(f"{shown(left.path)}: {left.reason}")
    for path in found.images:
        vehicle, *between = path.relative_to(part).parts[:-1] or ("",)
        if not vehicle or len(between) > 1:
            raise DatasetError(f"{shown(path)}: lies neither in vehicle/ nor in vehicle/camera/")
        camera, underscore, _ = path.stem.partition("_")
        images.append(
            VehicleImage(
                path=path,
                vehicle_id=vehicle,
                camera_id=between[0] if between else camera if underscore else "",
                origin=path.relative_to(root).as_posix(),
            )
        )
    if not images:
        raise DatasetError(f"{part}: holds no image in a folder a vehicle")
    return images, found.left_out


def _notes(images: list[VehicleImage], left_out: list[LeftOut]) -> tuple[str, ...]:
    notes = []
    unknown = sum(not image.camera_id for image in images)
    if unknown:
        notes.append(f"the camera of {unknown:,} of {counted(len(images), 'image')} is unknown")
    if left_out:
        reasons = Counter(left.reason for left in left_out)
        notes.append(
            f"left out: {', '.join(f'{count:,} {reason}' for reason, count in reasons.most_common())}"
        )
    return tuple(notes)


# Nearly every folder looks like it.
LAYOUTS.register(LAYOUT, Layout(is_folder, read, precedence=-1))
