"""What every reader gives: images to learn from, and retrieval tasks to measure on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.intake.names import slash_hint
from training.datasets.image import DatasetError, VehicleImage

SHOWN = 10


def each_once(images: Iterable[VehicleImage]) -> list[VehicleImage]:
    """The images without those whose file came before."""
    found: dict[Path, VehicleImage] = {}
    for image in images:
        found.setdefault(image.path, image)
    return list(found.values())


@dataclass(frozen=True)
class Task:
    """One retrieval task.

    Attributes:
        name: "test", or the size where a data set has several.
        queries: probes; where `gallery` is None, all images of the task.
        gallery: what is searched. None where it is drawn: one random image of each vehicle, all others
            being queries, in ten repeats (VehicleID's protocol).
    """

    name: str
    queries: list[VehicleImage]
    gallery: list[VehicleImage] | None

    def images(self) -> list[VehicleImage]:
        """Queries and gallery, each image file once, in that order."""
        return each_once([*self.queries, *(self.gallery or ())])


@dataclass(frozen=True)
class Dataset:
    """A data set on disk.

    Attributes:
        layout: how it lies there.
        root: its folder, or its manifest.
        train: images to learn from.
        tasks: retrieval tasks, smallest first.
        has_split: whether it says which vehicles are to train and which to test on; if not, `train` holds the
            tasks' images.
        notes: what it lacks that this layout may have.
    """

    layout: str
    root: Path
    train: list[VehicleImage]
    tasks: list[Task]
    has_split: bool = True
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.root if self.root.is_dir() else self.root.parent

    def lists(self) -> Iterator[tuple[str, list[VehicleImage]]]:
        """Each list of images and what it is called."""
        if self.train:
            yield "train" if self.has_split else "all", self.train
        if not self.has_split:
            return
        for task in self.tasks:
            name = "" if len(self.tasks) == 1 else f" {task.name}"
            if task.gallery is None:
                yield f"test{name}", task.queries
            else:
                yield f"query{name}", task.queries
                yield f"gallery{name}", task.gallery

    def images(self) -> list[VehicleImage]:
        """All images, each file once."""
        return each_once(image for _, images in self.lists() for image in images)

    def require_images(self) -> None:
        """See that every listed image is a file.

        Raises:
            DatasetError: some are not; the first are named with their rows.
        """
        missing = [image for image in self.images() if not image.path.is_file()]
        if missing:
            named = "\n".join(f"  {image.place()}" for image in missing[:SHOWN])
            hint = slash_hint(missing[0].path)
            more = f"\n  and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
            raise DatasetError(
                f"{self.root}: {len(missing):,} listed images do not exist; restore them or take them off "
                f"the lists{hint}:\n{named}{more}"
            )
