"""VERI-Wild (Lou et al., CVPR 2019).

    images/00001/000001.jpg                           vehicle / image
    train_test_split/vehicle_info.txt                 id/image;Camera ID;Time;Model;Type;Color, so headed
    train_test_split/train_list.txt                   vehicle/image a line; or train_list_start0.txt
    train_test_split/test_3000_id_query.txt           queries, the same for 5000 and 10000; or without `_id`
    train_test_split/test_3000_id.txt                 gallery

A list's line may go on (`00001/000001.jpg 0 23`); its first word is what counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from training.datasets.dataset import Dataset, Task
from training.datasets.files import first_of, require, rows
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers import LAYOUTS, Layout

LAYOUT = "veriwild"
LISTS = "train_test_split"
INFO = f"{LISTS}/vehicle_info.txt"
SIZES = (3000, 5000, 10000)
TRAIN = (f"{LISTS}/train_list.txt", f"{LISTS}/train_list_start0.txt")


class Info(NamedTuple):
    """What `vehicle_info.txt` says of an image."""

    camera: str
    time: str
    vehicle_type: str
    colour: str


def is_veriwild(root: Path) -> bool:
    """Whether a folder looks like VERI-Wild, complete or not."""
    return (root / INFO).is_file() or ((root / LISTS).is_dir() and (root / "images").is_dir())


def read(root: Path) -> Dataset:
    """VERI-Wild with its three test sizes; images are not looked at.

    Raises:
        DatasetError: required files are missing, a list does not read, or it names an image that
            `vehicle_info.txt` does not describe.
    """
    tests = {size: (_names(size, "_query"), _names(size, "")) for size in SIZES}
    lists = [names for pair in tests.values() for names in pair]
    require(root, "VERI-Wild", ["images/", INFO, TRAIN, *lists])
    known = _read_info(root / INFO)

    def images(path: Path) -> list[VehicleImage]:
        found = []
        for number, line, origin in rows(path):
            key = line.split()[0].removesuffix(".jpg")
            vehicle, _, name = key.partition("/")
            if not name:
                raise DatasetError(f"{path}, line {number}: {line!r} is not vehicle/image")
            if key not in known:
                raise DatasetError(f"{path}, line {number}: {key} is not in {INFO}")
            info = known[key]
            found.append(
                VehicleImage(
                    path=root / "images" / vehicle / f"{name}.jpg",
                    vehicle_id=vehicle,
                    camera_id=info.camera,
                    vehicle_type=info.vehicle_type,
                    colour=info.colour,
                    time=info.time,
                    origin=origin,
                )
            )
        return found

    tasks = [
        Task(str(size), images(first_of(root, queries)), images(first_of(root, gallery)))
        for size, (queries, gallery) in tests.items()
    ]
    return Dataset(LAYOUT, root, images(first_of(root, TRAIN)), tasks)


def _names(size: int, suffix: str) -> tuple[str, str]:
    return f"{LISTS}/test_{size}_id{suffix}.txt", f"{LISTS}/test_{size}{suffix}.txt"


def _read_info(path: Path) -> dict[str, Info]:
    found = {}
    for number, line, _ in rows(path):
        fields = [field.strip() for field in line.split(";")]
        if fields[0].lower() == "id/image":
            continue
        if len(fields) != 6:
            raise DatasetError(
                f"{path}, line {number}: has {len(fields)} columns and not the 6 of "
                "id/image;Camera ID;Time;Model;Type;Color"
            )
        key, camera, time, _, vehicle_type, colour = fields
        found[key] = Info(camera, time, vehicle_type.lower(), colour.lower())
    return found


LAYOUTS.register(LAYOUT, Layout(is_veriwild, read))
