"""VehicleID (Liu et al., CVPR 2016), version 1.0.

    image/                                            0000001.jpg
    train_test_split/train_list.txt                   image and vehicle a line: `0000001 13`
    train_test_split/test_list_800.txt ...            1600 and 2400; 3200, 6000 and 13164 where present
    attribute/color_attr.txt model_attr.txt           vehicle and number a line; may be missing

Cameras are not given. In a test list one random image of each vehicle is the gallery, ten times over.
"""

from __future__ import annotations

from pathlib import Path

from training.datasets.dataset import Dataset, Task
from training.datasets.files import column_map, require, rows
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers import LAYOUTS, Layout

LAYOUT = "vehicleid"
LISTS = "train_test_split"
SIZES = (800, 1600, 2400)
MORE_SIZES = (3200, 6000, 13164)


def is_vehicleid(root: Path) -> bool:
    """Whether a folder looks like VehicleID, complete or not."""
    return (root / LISTS).is_dir() and ((root / "image").is_dir() or any((root / LISTS).glob("test_list_*")))


def read(root: Path) -> Dataset:
    """VehicleID with all its test sizes; images are not looked at.

    Raises:
        DatasetError: required files are missing, or a list does not read.
    """
    lists = [f"{LISTS}/train_list.txt", *(f"{LISTS}/test_list_{size}.txt" for size in SIZES)]
    require(root, "VehicleID", ["image/", *lists])
    colours = column_map(root / "attribute" / "color_attr.txt")
    models = column_map(root / "attribute" / "model_attr.txt")

    def images(path: Path) -> list[VehicleImage]:
        found = []
        for number, line, origin in rows(path):
            fields = line.split()
            if len(fields) != 2:
                raise DatasetError(f"{path}, line {number}: {line!r} is not an image and a vehicle")
            name, vehicle = fields
            found.append(
                VehicleImage(
                    path=root / "image" / f"{name.removesuffix('.jpg')}.jpg",
                    vehicle_id=vehicle,
                    camera_id="",
                    vehicle_type=f"model {models[vehicle]}" if vehicle in models else "",
                    colour=f"colour {colours[vehicle]}" if vehicle in colours else "",
                    origin=origin,
                )
            )
        return found

    sizes = [s for s in (*SIZES, *MORE_SIZES) if (root / LISTS / f"test_list_{s}.txt").is_file()]
    tasks = [Task(str(size), images(root / LISTS / f"test_list_{size}.txt"), None) for size in sizes]
    notes = ["cameras are unknown in this data set"]
    if not colours:
        notes.append("colours are unknown: no attribute/color_attr.txt")
    return Dataset(LAYOUT, root, images(root / LISTS / "train_list.txt"), tasks, notes=tuple(notes))


LAYOUTS.register(LAYOUT, Layout(is_vehicleid, read))
