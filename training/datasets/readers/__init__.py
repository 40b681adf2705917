"""Layouts of data sets on disk, a reader each: VeRi-776, VehicleID, VERI-Wild, a CSV manifest, folders.

Each file in this folder registers its own in `LAYOUTS`; configurations, commands and `layouts.open_dataset`
take the names from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.registry import Registry
from training.datasets.dataset import Dataset


@dataclass(frozen=True)
class Layout:
    """A layout: how it is recognised and read.

    Attributes:
        recognises: whether a path looks like it, complete or not.
        read: the data set at a path; raises `DatasetError` and does not look at images.
        precedence: where several recognise a path, the highest reads it.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path], Dataset]
    precedence: int = 0


LAYOUTS: Registry[Layout] = Registry("layout")
LAYOUTS.import_folder(__name__, __path__)
