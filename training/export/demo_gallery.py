"""The demo's images: vehicles that the default bundle was not trained on."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from models.bundle import Bundle
from training.datasets.image import DatasetError
from training.datasets.readers.manifest import read_manifest
from training.export.swap_reranker import held_out_vehicles

COLUMNS = ("path", "vehicle_id", "camera_id", "vehicle_type", "role")


def write_demo_gallery(manifest: Path, bundle: Bundle, folder: Path, probe_camera: str) -> int:
    """Copy the images of a bundle's held-out vehicles and list them; one camera's images are the probes.

    Args:
        manifest: CSV of the whole data set.
        bundle: which names the vehicles.
        folder: gets `images/` and `manifest.csv` (path, vehicle_id, camera_id, vehicle_type, role).
        probe_camera: whose images are probes; all others are the gallery.

    Returns:
        The number of images.

    Raises:
        DatasetError: the manifest cannot be used, the bundle names no held-out vehicles, or no image of one
            is that camera's.
    """
    held_out = held_out_vehicles(bundle)
    images = [image for image in read_manifest(manifest) if image.vehicle_id in held_out]
    if probe_camera not in {image.camera_id for image in images}:
        raise DatasetError(
            f"{manifest}: camera {probe_camera!r} has no image of a vehicle held out of training"
        )
    shutil.rmtree(folder / "images", ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for image in images:
            name = image.path.name
            shutil.copyfile(image.path, folder / "images" / name)
            role = "probe" if image.camera_id == probe_camera else "gallery"
            lines.writerow((f"images/{name}", image.vehicle_id, image.camera_id, image.vehicle_type, role))
    return len(images)
