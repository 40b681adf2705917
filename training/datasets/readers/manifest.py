"""A CSV manifest: the layout for one's own images.

Columns: `path` (relative to the manifest), `vehicle_id`, `camera_id`, and where known `vehicle_type`, `view`,
`colour`, `time`, `track`. A column `role` (`train`, `query` or `probe`, `gallery`) divides it; without it
every image is there to learn from, and in the one task every image queries all others.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers import LAYOUTS, Layout

LAYOUT = "manifest"
NAME = "manifest.csv"
ROLES = {"train": "train", "query": "query", "probe": "query", "gallery": "gallery"}
REQUIRED = ("path", "vehicle_id", "camera_id")
Row = dict[str, str]


def read_manifest(manifest: Path) -> list[VehicleImage]:
    """The images that a CSV manifest lists, in its order, whatever their role.

    Args:
        manifest: CSV with the columns path (relative to the manifest), vehicle_id, camera_id and, if
            known, vehicle_type, view, colour, time, track.

    Raises:
        DatasetError: the file, a column, a value or an image is missing.
    """
    images = []
    for number, row in _rows(manifest, REQUIRED):
        image = _image(manifest, number, row)
        if not image.path.is_file():
            raise DatasetError(f"{manifest}, line {number}: {image.path} does not exist")
        images.append(image)
    return images


def is_manifest(path: Path) -> bool:
    """Whether this is a CSV file, or a folder with a `manifest.csv`."""
    return path.suffix.lower() == ".csv" or (path / NAME).is_file()


def read(path: Path) -> Dataset:
    """A manifest, or the `manifest.csv` in a folder, as a data set.

    The column `camera_id` may be left out where no camera is known. Images are not looked at.

    Raises:
        DatasetError: the file, a column or a value is missing, or a role is unknown.
    """
    manifest = path / NAME if path.is_dir() else path
    images, roles = [], []
    for number, row in _rows(manifest, REQUIRED[:2]):
        images.append(_image(manifest, number, row))
        role = row.get("role")
        if role is not None and role not in ROLES:
            raise DatasetError(f"{manifest}, line {number}: role {role!r} is none of {', '.join(ROLES)}")
        roles.append(role and ROLES[role])
    notes = () if all(image.camera_id for image in images) else ("cameras are unknown: no column camera_id",)
    if roles[0] is None:
        task = Task("all against all", images, images)
        return Dataset(LAYOUT, manifest, images, [task], divided=False, notes=notes)
    parts = {
        part: [image for image, role in zip(images, roles, strict=True) if role == part]
        for part in ("train", "query", "gallery")
    }
    if bool(parts["query"]) != bool(parts["gallery"]):
        raise DatasetError(f"{manifest}: has images of role query or gallery, but none of the other")
    tasks = [Task("test", parts["query"], parts["gallery"])] if parts["query"] else []
    return Dataset(LAYOUT, manifest, parts["train"], tasks, notes=notes)


def _rows(manifest: Path, required: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    if not manifest.is_file():
        raise DatasetError(f"{manifest}: no such manifest; it is a CSV with {', '.join(required)}")
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            missing = set(required) - set(reader.fieldnames or ())
            if missing:
                raise DatasetError(f"{manifest}: column {', '.join(sorted(missing))} is missing")
            needed = [name for name in REQUIRED if name in (reader.fieldnames or ())]
            number = 1
            for row in reader:
                number = reader.line_num
                for column in needed:
                    if not row[column]:
                        raise DatasetError(f"{manifest}, line {number}: {column} is empty")
                yield number, {name: value or "" for name, value in row.items() if name is not None}
            if number == 1:
                raise DatasetError(f"{manifest}: lists no image")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{manifest}: is not UTF-8 ({error}); save it as UTF-8") from None


def _image(manifest: Path, number: int, row: Row) -> VehicleImage:
    known = {name: row.get(name, "") for name in ("vehicle_type", "view", "colour", "time", "track")}
    return VehicleImage(
        path=manifest.parent / row["path"],
        vehicle_id=row["vehicle_id"],
        camera_id=row.get("camera_id", ""),
        origin=f"{manifest.name}, line {number}",
        **known,
    )


# A list that somebody wrote says more than the folders around it.
LAYOUTS.register(LAYOUT, Layout(is_manifest, read, precedence=1))
