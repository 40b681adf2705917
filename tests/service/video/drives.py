"""Videos: Intel's, shortened, and small ones that are made of the demo's images."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from models.detection.vehicle import Box, Vehicle
from service.video.reading import VideoFrame

FOUR_CARS = Path(__file__).parent / "four-cars.mp4"
"""Intel's "car-detection.mp4" without most of the frames on which the road is empty; see NOTICE."""
SIZE = (320, 200)
CAR = (110, 88)
_DEMO = Path(__file__).parents[3] / "service" / "demo" / "images"


def road() -> Image.Image:
    """An empty road."""
    grain = np.random.default_rng(0).integers(96, 112, (SIZE[1] // 4, SIZE[0] // 4), dtype=np.uint8)
    return Image.fromarray(grain).resize(SIZE, Image.Resampling.BICUBIC).convert("RGB")


def drive(
    cars: tuple[str, ...] = ("car_0005_cam1.jpg",), empty: int = 34, pace: int = 16
) -> Iterator[Image.Image]:
    """Cars that drive through from left to right, one after the other, after some frames of an empty road."""
    background = road()
    for _ in range(empty):
        yield background
    for name in cars:
        with Image.open(_DEMO / name) as image:
            car = image.resize(CAR)
        for left in range(-CAR[0], SIZE[0], pace):
            frame = background.copy()
            frame.paste(car, (left, 60))
            yield frame
        for _ in range(25):
            yield background


def write_video(path: Path, frames: Iterator[Image.Image], rate: int = 12) -> Path:
    """A video file of these frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Sees:
    """A detector that sees what it is told: boxes by the number of the call."""

    def __init__(self, found: dict[int, list[Vehicle]]) -> None:
        self._found = found
        self.calls = 0

    def detect(self, frame: Image.Image) -> list[Vehicle]:  # noqa: ARG002
        self.calls += 1
        return self._found.get(self.calls - 1, [])


def plain(number: int, rate: float = 10.0) -> VideoFrame:
    return VideoFrame(number, number / rate, Image.new("RGB", SIZE))


def car_at(left: int, score: float = 0.9, top: int = 60) -> Vehicle:
    return Vehicle(Box(left, top, 80, 60), "car", score)
