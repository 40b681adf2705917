from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.shape import NetworkConfig
from training.datasets.image import VehicleImage

SMALL = NetworkConfig(
    ibn=False, v1=True, width=8, depth=(1, 1, 1, 1), image_size=(64, 64), strips=2, strip_width=16
)


@pytest.fixture
def small() -> NetworkConfig:
    return SMALL


def write_tree(folder: Path) -> Path:
    """Twelve coloured vehicles before two cameras; the manifest's path."""
    source = np.random.default_rng(0)
    lines = ["path,vehicle_id,camera_id,vehicle_type"]
    for vehicle in range(12):
        colour = source.integers(0, 255, 3)
        for camera in ("cam1", "cam2"):
            pixels = np.clip(colour + source.normal(0, 12, (40, 48, 3)), 0, 255).astype(np.uint8)
            name = f"v{vehicle:02}_{camera}.png"
            Image.fromarray(pixels).save(folder / name)
            lines.append(f"{name},v{vehicle:02},{camera},{'car' if vehicle % 3 else 'truck'}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """See `write_tree`."""
    return write_tree(tmp_path)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in another number of threads round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pretend(vehicles: int, cameras: int = 2, kinds: int = 2) -> list[VehicleImage]:
    """Images that need not exist."""
    return [
        VehicleImage(Path(f"{v}_{c}.jpg"), f"v{v:03}", f"c{c}", f"type{v % kinds}")
        for v in range(vehicles)
        for c in range(cameras)
    ]
