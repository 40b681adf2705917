"""The margin that training crops have around their vehicles, as the detector has them.

python -m benchmarks.crop_margin --data vehicle-2cam/manifest.csv

Each crop is put on a grey ground, so that it is a frame; where the vehicle's box lies in it is the margin.
The medians are what the detector's manifest rounds to its `margin`.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from models.detection.bundle import DEFAULT_DETECTOR, DetectorBundle
from models.detection.loading import load_detector
from models.detection.vehicle import Box, Detector, VehicleType

GROUND = 1.8
"""Sides of the ground, in sides of the crop."""
GREY = (114, 114, 114)
SURE = 0.5
"""The least score of a box that counts."""

Margins = tuple[float, float, float, float]


def margins(crop: Image.Image, detector: Detector) -> tuple[VehicleType, Margins] | None:
    """The type of the surest vehicle, and its margins left, above, right and below, as shares of its box."""
    width, height = crop.size
    ground = Image.new("RGB", (int(GROUND * width), int(GROUND * height)), GREY)
    left, top = (ground.width - width) // 2, (ground.height - height) // 2
    ground.paste(crop, (left, top))
    found = [vehicle for vehicle in detector.detect(ground) if vehicle.score >= SURE]
    if not found:
        return None
    box: Box = found[0].box
    return found[0].type, (
        (box.x - left) / box.width,
        (box.y - top) / box.height,
        (left + width - box.x - box.width) / box.width,
        (top + height - box.y - box.height) / box.height,
    )


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CSV manifest with the column path")
    parser.add_argument("--images", type=int, default=400, help="of them, drawn by chance")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    detector = load_detector(DetectorBundle.load(DEFAULT_DETECTOR).described(), threads=1)
    with given.data.open(encoding="utf-8", newline="") as file:
        paths = sorted(row["path"] for row in csv.DictReader(file))
    random.Random(given.seed).shuffle(paths)  # noqa: S311 - which images are looked at
    by_type: dict[str, list[Margins]] = defaultdict(list)
    for path in paths[: given.images]:
        with Image.open(given.data.parent / path) as image:
            found = margins(image.convert("RGB"), detector)
        if found is not None:
            by_type[found[0]].append(found[1])
    by_type["all"] = [margin for found in by_type.values() for margin in found]
    print(f"{'type':<12}{'crops':>6}{'left':>8}{'above':>8}{'right':>8}{'below':>8}  (medians)")
    for kind, rows in by_type.items():
        medians = "".join(f"{value:>8.3f}" for value in np.median(rows, axis=0))
        print(f"{kind:<12}{len(rows):>6}{medians}")


if __name__ == "__main__":
    main()
