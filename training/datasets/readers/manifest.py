"""A CSV manifest: the layout for one's own images.

Columns: `path` (relative to the manifest), `vehicle_id`, `camera_id`, and where known `vehicle_type`, `view`,
`colour`, `time`, `track`, `model`, `group`. A column `role` (`train`, `query` or `probe`, `gallery`) divides
it; without it every image is there to learn from, and in the one task every image queries all others.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from models.intake.columns import Columns
from models.intake.files import RealPaths
from models.intake.table import Row, RowFault, Table, TableError, read_table
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers import LAYOUTS, Layout

LAYOUT = "manifest"
ANYWHERE = "manifest-anywhere"
"""A manifest whose files may lie outside its folder: whoever asks for it by name knows what the file says."""
NAME = "manifest.csv"
SUFFIXES = (".csv", ".tsv")
ROLES = {"train": "train", "query": "query", "probe": "query", "gallery": "gallery"}
REQUIRED = ("path", "vehicle_id", "camera_id")
KNOWN = ("vehicle_type", "view", "colour", "time", "track", "model", "group")
# What enrollment reads of the same manifest.
OF_ENROLLMENT = ("image_id", "captured_at", "tags")
SHOWN = 10


def read_manifest(manifest: Path) -> list[VehicleImage]:
    """The images that a CSV manifest lists, in its order, whatever their role.

    Args:
        manifest: CSV with the columns path (relative to the manifest), vehicle_id, camera_id and, if
            known, vehicle_type, view, colour, time, track, model, group.

    Raises:
        DatasetError: the file, a column, a value or an image is missing.
    """
    table = _table(manifest, REQUIRED)
    images = [_image(manifest, row) for row in table.rows]
    missing = [
        RowFault(row.line, f"{image.path} does not exist")
        for row, image in zip(table.rows, images, strict=True)
        if not image.path.is_file()
    ]
    _refuse(manifest, missing)
    return images


def is_manifest(path: Path) -> bool:
    """Whether this is a CSV file, or a folder with a `manifest.csv`."""
    return path.suffix.lower() in SUFFIXES or (path / NAME).is_file()


def read(path: Path, *, anywhere: bool = False) -> Dataset:
    """A manifest, or the `manifest.csv` in a folder, as a data set.

    Files that do not lie below its folder, links followed, are taken only where they may lie `anywhere`.

    The column `camera_id` may be left out where no camera is known. Images are not looked at.

    Raises:
        DatasetError: the file cannot be read, a column or a value is missing, a column seems to mean one
            that is not there, a role is unknown, or a file lies outside; all rows that are wrong are counted,
            the first named.
    """
    manifest = path / NAME if path.is_dir() else path
    table = _table(manifest, REQUIRED[:2])
    images = [_image(manifest, row) for row in table.rows]
    if not anywhere:
        _refuse(manifest, _outside(manifest, table, images))
    layout, notes = ANYWHERE if anywhere else LAYOUT, _notes(table)
    if "role" not in table.columns:
        task = Task("all against all", images, images)
        return Dataset(layout, manifest, images, [task], has_split=False, notes=notes)
    wrong = [
        RowFault(row.line, f"role {row.values['role']!r} is none of {', '.join(ROLES)}")
        for row in table.rows
        if row.values["role"] not in ROLES
    ]
    _refuse(manifest, wrong)
    parts: dict[str, list[VehicleImage]] = {part: [] for part in ("train", "query", "gallery")}
    for row, image in zip(table.rows, images, strict=True):
        parts[ROLES[row.values["role"]]].append(image)
    if bool(parts["query"]) != bool(parts["gallery"]):
        raise DatasetError(f"{manifest}: has images of role query or gallery, but none of the other")
    tasks = [Task("test", parts["query"], parts["gallery"])] if parts["query"] else []
    return Dataset(layout, manifest, parts["train"], tasks, notes=notes)


def _table(manifest: Path, required: tuple[str, ...]) -> Table:
    if not manifest.is_file():
        raise DatasetError(f"{manifest}: no such manifest; it is a CSV with {', '.join(required)}")
    optional = tuple(name for name in (*REQUIRED, *KNOWN, "role") if name not in required)
    try:
        table = read_table(manifest, Columns(required, optional, OF_ENROLLMENT))
    except TableError as error:
        raise DatasetError(str(error)) from None
    needed = [name for name in REQUIRED if name in table.columns]
    empty = [
        RowFault(row.line, f"{name} is empty")
        for row in table.rows
        for name in needed
        if not row.values[name]
    ]
    _refuse(manifest, [*table.faults, *empty])
    return table


def _refuse(manifest: Path, faults: list[RowFault]) -> None:
    if faults:
        faults = sorted(faults, key=lambda fault: fault.line)
        named = "\n  ".join(f"{manifest}, line {fault.line}: {fault.reason}" for fault in faults[:SHOWN])
        more = f"\n  and {len(faults) - SHOWN:,} more rows" if len(faults) > SHOWN else ""
        raise DatasetError(named + more)


def _image(manifest: Path, row: Row) -> VehicleImage:
    return VehicleImage(
        path=manifest.parent / row.values["path"],
        vehicle_id=row.values["vehicle_id"],
        camera_id=row.values.get("camera_id", ""),
        origin=f"{manifest.name}, line {row.line}",
        **{name: row.values.get(name, "") for name in KNOWN},
    )


def _outside(manifest: Path, table: Table, images: list[VehicleImage]) -> list[RowFault]:
    real_paths = RealPaths()
    found = []
    for row, image in zip(table.rows, images, strict=True):
        if (why := real_paths.why_outside(image.path, manifest.parent)) is not None:
            remedy = f"outside the manifest's folder; name the layout {ANYWHERE} to take it"
            found.append(RowFault(row.line, f"path {row.values['path']!r} {why}, {remedy}"))
    return found


def _notes(table: Table) -> tuple[str, ...]:
    notes = []
    if "camera_id" not in table.columns:
        notes.append("cameras are unknown: no column camera_id")
    if table.unread:
        notes.append(f"columns that are not read: {', '.join(table.unread)}")
    return tuple(notes)


# A list that somebody wrote says more than the folders around it.
LAYOUTS.register(LAYOUT, Layout(is_manifest, read, precedence=1))
LAYOUTS.register(ANYWHERE, Layout(lambda _: False, partial(read, anywhere=True)))
