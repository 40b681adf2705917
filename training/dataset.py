"""Vehicle images with their identities, read from a CSV manifest and split by identity."""

from __future__ import annotations

import csv
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class DatasetError(Exception):
    """A data set that cannot be used; the message names the file, the row and the remedy."""


@dataclass(frozen=True, slots=True)
class VehicleImage:
    """One picture of one vehicle.

    Attributes:
        path: the image file.
        vehicle_id: which vehicle it is.
        camera_id: which camera took it.
        vehicle_type: car, truck, ... or "" where unknown.
    """

    path: Path
    vehicle_id: str
    camera_id: str
    vehicle_type: str = ""


def read_manifest(manifest: Path) -> list[VehicleImage]:
    """The images that a CSV manifest lists, in its order.

    Args:
        manifest: CSV with the columns path (relative to the manifest), vehicle_id, camera_id and, if
            known, vehicle_type.

    Raises:
        DatasetError: the file, a column, a value or an image is missing.
    """
    if not manifest.is_file():
        raise DatasetError(f"{manifest}: no such manifest; it is a CSV with path, vehicle_id, camera_id")
    with manifest.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        missing = {"path", "vehicle_id", "camera_id"} - set(reader.fieldnames or ())
        if missing:
            raise DatasetError(f"{manifest}: column {', '.join(sorted(missing))} is missing")
        images = []
        for number, row in enumerate(reader, start=2):
            for column in ("path", "vehicle_id", "camera_id"):
                if not row[column]:
                    raise DatasetError(f"{manifest}, line {number}: {column} is empty")
            path = manifest.parent / row["path"]
            if not path.is_file():
                raise DatasetError(f"{manifest}, line {number}: {path} does not exist")
            images.append(
                VehicleImage(path, row["vehicle_id"], row["camera_id"], row.get("vehicle_type") or "")
            )
    if not images:
        raise DatasetError(f"{manifest}: lists no image")
    return images


@dataclass(frozen=True)
class Split:
    """Images of vehicles to learn from and of other vehicles to measure on."""

    train: list[VehicleImage]
    validation: list[VehicleImage]


def split_by_identity(images: list[VehicleImage], validation_vehicles: int, seed: int) -> Split:
    """Set `validation_vehicles` whole vehicles aside, each vehicle type in proportion.

    The same images (in any order) and the same seed give the same split.

    Raises:
        DatasetError: fewer vehicles than that, or none left to learn from.
    """
    types = {image.vehicle_id: image.vehicle_type for image in images}
    if not 0 < validation_vehicles < len(types):
        raise DatasetError(f"cannot set {validation_vehicles} of {len(types)} vehicles aside")
    # Spreading each type evenly over the order makes every slice of it a fair sample of the types.
    source = random.Random(seed)  # noqa: S311
    position: dict[str, float] = {}
    totals = Counter(types.values())
    for vehicle_type in sorted(totals):
        members = sorted(v for v, t in types.items() if t == vehicle_type)
        source.shuffle(members)
        offset = source.random()
        position |= {v: (i + offset) / len(members) for i, v in enumerate(members)}
    chosen = set(sorted(position, key=lambda v: (position[v], v))[:validation_vehicles])
    return Split(
        train=[image for image in images if image.vehicle_id not in chosen],
        validation=[image for image in images if image.vehicle_id in chosen],
    )
