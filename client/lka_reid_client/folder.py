"""The images below a folder, as they are enrolled."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from lka_reid_client.calls.fields import About
from lka_reid_client.enrolling import NewImage
from lka_reid_client.errors import InvalidCallError, printable

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def images_below(folder: Path | str, **about: Unpack[About]) -> list[NewImage]:
    """The image files below a folder by their suffixes, each with its path in the folder as image id.

    What is hidden is left out. `lka-reid enroll FOLDER` gives the same ids.

    Args:
        folder: where to look.
        **about: what is known of every image, such as `camera_id`.

    Raises:
        OSError: the folder cannot be read.
        InvalidCallError: no image is in it.
    """
    root = Path(folder)
    next(root.iterdir(), None)  # `rglob` finds nothing in silence where there is no folder.
    found = sorted(path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    images = [
        NewImage(root / path, {**about, "image_id": path.as_posix()})
        for path in found
        if not any(part.startswith(".") for part in path.parts) and (root / path).is_file()
    ]
    if not images:
        raise InvalidCallError(f"no image is below {printable(str(folder))}: none of {_listed()}")
    return images


def _listed() -> str:
    return ", ".join(sorted(SUFFIXES))
