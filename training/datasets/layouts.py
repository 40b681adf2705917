"""All layouts by name, and which of them a path has."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from training.datasets import folder, manifest, vehicleid, veri776, veriwild
from training.datasets.dataset import Dataset
from training.datasets.image import DatasetError


class Layout(StrEnum):
    """How a data set lies on disk."""

    auto = "auto"
    veri776 = "veri776"
    vehicleid = "vehicleid"
    veriwild = "veriwild"
    manifest = "manifest"
    folder = "folder"


# In the order in which `auto` tries them: VERI-Wild and VehicleID both have `train_test_split`.
READERS = {
    Layout.manifest: (manifest.is_manifest, manifest.read),
    Layout.veri776: (veri776.is_veri776, veri776.read),
    Layout.veriwild: (veriwild.is_veriwild, veriwild.read),
    Layout.vehicleid: (vehicleid.is_vehicleid, vehicleid.read),
    Layout.folder: (folder.is_folder, folder.read),
}


def recognise(path: Path) -> Layout:
    """The layout of a path.

    Raises:
        DatasetError: nothing there, or no layout that is known.
    """
    if not path.exists():
        raise DatasetError(f"{path}: does not exist")
    for layout, (recognises, _) in READERS.items():
        if recognises(path):
            return layout
    names = ", ".join(READERS)
    raise DatasetError(f"{path}: has none of the known layouts; name it with --layout ({names})")


def open_dataset(path: Path, layout: Layout = Layout.auto, *, look_for_images: bool = True) -> Dataset:
    """Read a data set.

    Args:
        path: its folder, or its CSV manifest.
        layout: how it lies there; `auto` for whichever it looks like.
        look_for_images: whether to see that every listed image is a file.

    Raises:
        DatasetError: it has no such layout, required files are missing (all are named), a list does not
            read (its row is named), or listed images do not exist.
    """
    chosen = recognise(path) if layout is Layout.auto else layout
    dataset = READERS[chosen][1](path)
    if look_for_images:
        dataset.require_images()
    return dataset
