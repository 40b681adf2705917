"""Opening a data set of any layout."""

from __future__ import annotations

from pathlib import Path

from training.datasets.dataset import Dataset
from training.datasets.image import DatasetError
from training.datasets.readers import LAYOUTS

AUTO = "auto"
LAYOUT_NAMES = f"{AUTO}, {LAYOUTS.names}"
"""What may be asked for, for help texts; `auto` is whichever layout the path looks like."""


def known_layout(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: it is neither `auto` nor a layout's; the message lists those that there are.
    """
    if name != AUTO:
        LAYOUTS.named(name)
    return name


def recognise(path: Path) -> str:
    """The layout of a path.

    Raises:
        DatasetError: nothing there, or no layout that is known.
    """
    if not path.exists():
        raise DatasetError(f"{path}: does not exist")
    for name, layout in sorted(LAYOUTS.items(), key=lambda item: -item[1].precedence):
        if layout.recognises(path):
            return name
    raise DatasetError(f"{path}: has none of the known layouts; name it with --layout ({LAYOUTS.names})")


def open_dataset(path: Path, layout: str = AUTO, *, look_for_images: bool = True) -> Dataset:
    """Read a data set.

    Args:
        path: its folder, or its CSV manifest.
        layout: how it lies there; `auto` for whichever it looks like.
        look_for_images: whether to see that every listed image is a file.

    Raises:
        DatasetError: there is no such layout, the path has another one, required files are missing (all are
            named), a list does not read (its row is named), or listed images do not exist.
    """
    try:
        known_layout(layout)
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from None
    dataset = LAYOUTS[recognise(path) if layout == AUTO else layout].read(path)
    if look_for_images:
        dataset.require_images()
    return dataset
