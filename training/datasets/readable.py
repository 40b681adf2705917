"""Images that do not decode, found before a training begins and not at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from models.wording import counted
from training.datasets.check import unreadable
from training.datasets.dataset import Task, each_once
from training.datasets.image import DatasetError, VehicleImage

Unreadable = Literal["refuse", "skip"]
SHOWN = 5
_READ: set[tuple[str, int, int]] = set()
"""Path, size and time of images that this process has read whole: the parts of a run share them."""


def readable(
    data: Path,
    train: list[VehicleImage],
    tasks: list[Task],
    how: Unreadable,
    report: Callable[[int, int], None] = lambda *_: None,
) -> tuple[list[VehicleImage], list[Task], int]:
    """The images to learn from and to measure on that can be read, and how many cannot.

    Args:
        data: the data set, for messages.
        train: to learn from.
        tasks: to measure on.
        how: what is done about images that cannot be read.
        report: called with how many are read, and of how many.

    Raises:
        DatasetError: an image cannot be read, and that is to be refused.
    """
    everything = each_once([*train, *(image for task in tasks for image in task.images())])
    new = {image: key for image in everything if (key := _key(image)) not in _READ}
    findings = unreadable(list(new), lambda done: report(done, len(new)))
    bad = {image for image, _ in findings}
    _READ.update(key for image, key in new.items() if key is not None and image not in bad)
    if not findings:
        return train, tasks, 0
    if how == "refuse":
        named = [f"{image.place()}: {finding.message}" for image, finding in findings[:SHOWN]]
        more = [f"and {len(findings) - SHOWN:,} more"] if len(findings) > SHOWN else []
        remedy = "leave them out, or set data.unreadable=skip (`lka-reid data check` lists all)"
        raise DatasetError(
            "\n".join([f"{data}: {counted(len(findings), 'image')} cannot be read; {remedy}", *named, *more])
        )
    return _without(train, bad), [_task_without(task, bad) for task in tasks], len(bad)


def _key(image: VehicleImage) -> tuple[str, int, int] | None:
    try:
        found = image.path.stat()
    except OSError:
        return None
    return str(image.path), found.st_size, found.st_mtime_ns


def _without(images: Sequence[VehicleImage], bad: set[VehicleImage]) -> list[VehicleImage]:
    return [image for image in images if image not in bad]


def _task_without(task: Task, bad: set[VehicleImage]) -> Task:
    gallery = None if task.gallery is None else _without(task.gallery, bad)
    return Task(task.name, _without(task.queries, bad), gallery)
