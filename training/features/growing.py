"""Features that grow on disk, a batch at a time: an interrupted embedding is resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from training.atomic import write_json
from training.datasets.image import VehicleImage
from training.features.store import DESCRIPTORS, STRIPS, write_images

PROGRESS = "progress.json"


class GrowingFeatures:
    """Descriptors and strips of N images, of which the first `done` are on disk.

    How many those are stands in `progress.json`. Before `finish`, `open_features` finds nothing.

    Args:
        folder: is made; unfinished features of another provenance, and damaged ones, are written over.
        images: the N images.
        dim: of a descriptor.
        strips: (s, w), or None.
        provenance: what they depend on, of JSON types.
    """

    def __init__(
        self,
        folder: Path,
        images: Sequence[VehicleImage],
        dim: int,
        strips: tuple[int, int] | None,
        provenance: dict[str, Any],
    ) -> None:
        self._folder = folder
        self._images = images
        self._provenance = provenance
        folder.mkdir(parents=True, exist_ok=True)
        shapes: dict[str, tuple[type[np.floating], tuple[int, ...]]] = {
            DESCRIPTORS: (np.float32, (len(images), dim))
        }
        if strips is not None:
            shapes[STRIPS] = (np.float16, (len(images), *strips))
        self.done = self._noted()
        try:
            self._arrays = {name: self._opened(name, shape) for name, (_, shape) in shapes.items()}
        except (OSError, ValueError):
            self.done = 0
            self._arrays = {
                name: open_memmap(folder / name, "w+", dtype, shape)
                for name, (dtype, shape) in shapes.items()
            }

    def _noted(self) -> int:
        try:
            note = json.loads((self._folder / PROGRESS).read_text(encoding="utf-8"))
            return int(note["done"]) if note["provenance"] == self._provenance else 0
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0

    def _opened(self, name: str, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
        if not self.done:
            raise ValueError("nothing was begun")
        # Opened to be written to, a file that was cut short would be filled up with zeros.
        found = open_memmap(self._folder / name, "r")
        if found.shape != shape:
            raise ValueError(f"{name} is of shape {found.shape}, not {shape}")
        return open_memmap(self._folder / name, "r+")

    def write(self, descriptors: NDArray[np.floating], strips: NDArray[np.floating] | None) -> None:
        """The next images' descriptors `[n, d]` and strips `[n, s, w]`; they are on disk on return."""
        rows = slice(self.done, self.done + len(descriptors))
        for name, given in ((DESCRIPTORS, descriptors), (STRIPS, strips)):
            if given is not None and name in self._arrays:
                self._arrays[name][rows] = given
                self._arrays[name].flush()
        self.done = rows.stop
        write_json(self._folder / PROGRESS, {"done": self.done, "provenance": self._provenance})

    def finish(self) -> None:
        """Write the list of images last, as `save_features` does.

        Raises:
            ValueError: some images are missing.
        """
        if self.done != len(self._images):
            raise ValueError(f"{self.done} of {len(self._images)} images are there")
        write_images(self._folder, self._images, self._provenance, strips=STRIPS in self._arrays)
        (self._folder / PROGRESS).unlink(missing_ok=True)
