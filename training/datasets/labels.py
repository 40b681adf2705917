"""Names that are no vehicle's, and folders whose levels are the wrong way round; no image is read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from models.wording import counted
from training.datasets.findings import Finding, Severity
from training.datasets.image import VehicleImage

NOBODY = re.compile(
    r"unknown|unk|unlabel+ed|none|null|nan|n/?a|other|others|distractors?|junk|background|-1|\?+",
    re.IGNORECASE,
)
"""Vehicle ids that say that the vehicle is not known."""
CAMERA = re.compile(r"(cam|camera|kamera|gate|channel|ch|kanal)[-_ .]?\d*", re.IGNORECASE)
MANY = 10
"""Cameras, from which on more of them than vehicles are odd."""
FEW, FULL = 20, 30
"""Vehicles with so many images each, of no known camera, that may be cameras' folders."""


def check_labels(images: Sequence[VehicleImage]) -> list[Finding]:
    """What is wrong with the names of vehicles and cameras."""
    return [*_nobody(images), *_wrong_way_round(images), *_folders_of_cameras(images)]


def _nobody(images: Sequence[VehicleImage]) -> Iterator[Finding]:
    of_name: dict[str, list[VehicleImage]] = defaultdict(list)
    for image in images:
        if NOBODY.fullmatch(image.vehicle_id.strip()):
            of_name[image.vehicle_id].append(image)
    for name, found in of_name.items():
        # One image by itself is not taken for another's.
        if len(found) > 1:
            message = (
                f"{len(found):,} images are of vehicle {name!r}, which would be learned and measured as one "
                "vehicle; leave them out, or give each its own vehicle_id"
            )
            yield Finding.of(Severity.error, "vehicle without a name", message, found[0])


def _wrong_way_round(images: Sequence[VehicleImage]) -> Iterator[Finding]:
    vehicles = {image.vehicle_id for image in images}
    cameras = {image.camera_id for image in images} - {""}
    if not cameras:
        return
    named = sum(bool(CAMERA.fullmatch(name)) for name in vehicles)
    like_cameras = sum(bool(CAMERA.fullmatch(name)) for name in cameras)
    if 2 * named > len(vehicles) and 2 * like_cameras <= len(cameras):
        vehicle, camera = min(vehicles), min(cameras)
        message = (
            f"vehicles are called {vehicle!r} and the like, and cameras {camera!r}: the folders are "
            "camera/vehicle/ (or the columns are exchanged), and vehicle/camera/ is wanted"
        )
        yield Finding.of(Severity.error, "wrong way round", message, images[0])
    elif len(cameras) >= MANY and len(cameras) > len(vehicles):
        message = (
            f"{len(cameras):,} cameras saw {len(vehicles):,} vehicles: are the folders camera/vehicle/, "
            "where vehicle/camera/ is wanted, or is what stands before the first _ of a name no camera?"
        )
        yield Finding.of(Severity.warning, "more cameras than vehicles", message, images[0])


def _folders_of_cameras(images: Sequence[VehicleImage]) -> Iterator[Finding]:
    """Few vehicles of many images each, no camera known: what crops that nobody has named look like."""
    vehicles = {image.vehicle_id for image in images}
    if 0 < len(vehicles) <= FEW and len(images) >= FULL * len(vehicles):
        if any(image.camera_id for image in images):
            return
        message = (
            f"{counted(len(vehicles), 'vehicle')} with {len(images) // len(vehicles):,} images each, and no "
            "camera is known: are the folders cameras, and the vehicles unnamed? `lka-reid adapt` takes those"
        )
        yield Finding.of(Severity.warning, "few vehicles", message, images[0])
