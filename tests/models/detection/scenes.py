"""Frames to look for vehicles in: one of a real camera, and one made of the demo's images."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from models.detection.vehicle import Box, VehicleType

FRAME = Path(__file__).parent / "frame.jpg"
"""Of Intel's "car-detection.mp4", CC BY 4.0; see NOTICE."""
RED_CAR = Box(307, 6, 145, 219)
"""In it, measured by eye; the other car is half outside."""

_DEMO = Path(__file__).parents[3] / "service" / "demo" / "images"
_PASTED: dict[str, tuple[VehicleType, Box]] = {
    "car_0005_cam1.jpg": ("car", Box(40, 30, 184, 146)),
    "truck_0003_cam1.jpg": ("truck", Box(370, 20, 231, 217)),
    "motorcycle_0003_cam1.jpg": ("motorcycle", Box(240, 190, 98, 200)),
}
SCENE_SIZE = (640, 400)


def scene() -> tuple[Image.Image, dict[VehicleType, Box]]:
    """A grey road with three vehicles on it, and where each was pasted, with its image's margin."""
    road = Image.new("RGB", SCENE_SIZE, (114, 114, 114))
    boxes: dict[VehicleType, Box] = {}
    for name, (kind, box) in _PASTED.items():
        with Image.open(_DEMO / name) as image:
            road.paste(image.resize((box.width, box.height)), (box.x, box.y))
        boxes[kind] = box
    return road, boxes


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The image as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def iou(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(0, across) * max(0, down)
    return shared / (one.area + other.area - shared)
