"""A data set in figures: one row for each of its lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table

from models.terminal import TitledTable
from training.datasets.dataset import Dataset
from training.datasets.image import VehicleImage

# Attribute -> heading and format.
COLUMNS = {
    "images": ("images", ",d"),
    "vehicles": ("vehicles", ",d"),
    "cameras": ("cameras", ",d"),
    "images_per_vehicle": ("images/\nvehicle", ".1f"),
    "cameras_per_vehicle": ("cameras/\nvehicle", ".1f"),
    "views": ("views", ",d"),
    "colours": ("colours", ",d"),
    "types": ("types", ",d"),
    "tracks": ("tracks", ",d"),
}


@dataclass(frozen=True)
class Statistics:
    """One list of images in figures; a count of 0 means unknown.

    Attributes:
        name: of the list.
        images: rows in it.
        vehicles: different ones.
        cameras: different ones.
        cameras_per_vehicle: mean; 0 where cameras are unknown.
        views: different ones.
        colours: different ones.
        types: different ones.
        tracks: different ones.
    """

    name: str
    images: int
    vehicles: int
    cameras: int
    cameras_per_vehicle: float
    views: int
    colours: int
    types: int
    tracks: int

    @property
    def images_per_vehicle(self) -> float:
        """Mean number of images of a vehicle."""
        return self.images / self.vehicles if self.vehicles else 0.0


def describe(name: str, images: list[VehicleImage]) -> Statistics:
    """A list of images in figures."""

    def different(value: Callable[[VehicleImage], str]) -> int:
        return len({value(image) for image in images} - {""})

    vehicles = different(lambda image: image.vehicle_id)
    seen = {(image.vehicle_id, image.camera_id) for image in images if image.camera_id}
    return Statistics(
        name=name,
        images=len(images),
        vehicles=vehicles,
        cameras=different(lambda image: image.camera_id),
        cameras_per_vehicle=len(seen) / vehicles if vehicles else 0.0,
        views=different(lambda image: image.view),
        colours=different(lambda image: image.colour),
        types=different(lambda image: image.vehicle_type),
        tracks=different(lambda image: image.track),
    )


def statistics(dataset: Dataset) -> list[Statistics]:
    """Each list of a data set in figures."""
    return [describe(name, images) for name, images in dataset.lists()]


def statistics_table(dataset: Dataset) -> Table:
    """The figures as a table; what is unknown is a dash, and what is unknown everywhere is left out."""
    table = TitledTable(
        escape(f"{dataset.root} ({dataset.layout})"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0),
        caption="\n".join(dataset.notes) or None,
        caption_justify="left",
    )
    found = statistics(dataset)
    table.add_column("list", no_wrap=True)
    known = [any(getattr(row, name) for row in found) for name in COLUMNS]
    for (heading, _), shown in zip(COLUMNS.values(), known, strict=True):
        if shown:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in found:
        cells = [
            format(getattr(row, name), form) if getattr(row, name) else "-"
            for (name, (_, form)), shown in zip(COLUMNS.items(), known, strict=True)
            if shown
        ]
        table.add_row(row.name, *cells)
    return table
