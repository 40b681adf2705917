"""The demo's pictures: the validation vehicles of a split, which no shipped model was trained on."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from training.datasets.image import DatasetError
from training.datasets.readers.manifest import read_manifest
from training.datasets.split import split_by_identity
from training.recipe import SEED, VALIDATION_VEHICLES


def write_demo_gallery(manifest: Path, folder: Path, probe_camera: str) -> int:
    """Copy the default recipe's validation vehicles and list them; one camera's pictures are the probes.

    Args:
        manifest: CSV of the whole data set.
        folder: gets `images/` and `manifest.csv` (path, vehicle_id, camera_id, vehicle_type, role).
        probe_camera: whose pictures are probes; all others are the gallery.

    Returns:
        The number of pictures.

    Raises:
        DatasetError: the manifest cannot be used, or no picture is that camera's.
    """
    pictures = split_by_identity(read_manifest(manifest), VALIDATION_VEHICLES, SEED).validation
    if probe_camera not in {picture.camera_id for picture in pictures}:
        raise DatasetError(f"{manifest}: no validation vehicle was seen by camera {probe_camera!r}")
    shutil.rmtree(folder / "images", ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("path", "vehicle_id", "camera_id", "vehicle_type", "role"))
        for picture in pictures:
            shutil.copyfile(picture.path, folder / "images" / picture.path.name)
            role = "probe" if picture.camera_id == probe_camera else "gallery"
            lines.writerow(
                (
                    f"images/{picture.path.name}",
                    picture.vehicle_id,
                    picture.camera_id,
                    picture.vehicle_type,
                    role,
                )
            )
    return len(pictures)
