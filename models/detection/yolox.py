"""YOLOX (Ge et al., "YOLOX: Exceeding YOLO Series in 2021"): a frame in, a raw grid out, boxes from it.

The network sees a frame letterboxed: shrunk or grown to fit, at the upper left of a grey square, BGR, bytes
as they are. It answers for each cell of three grids (strides 8, 16 and 32 px) with a centre and a size in
units of the cell, how sure it is of an object, and of each of COCO's 80 classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.detection.vehicle import Box, Vehicle, VehicleType

Floats = NDArray[np.float32]

STRIDES = (8, 16, 32)
GREY = 114
MAX_VEHICLES = 100
"""In one frame; what is less sure than the first so many is left out."""
MIN_SIDE = 8
"""px of a box in the frame; less is no image that could be embedded."""
RIDDEN = frozenset({"motorcycle", "bicycle"})
RIDER_INSIDE = 0.3
"""Share of a person's box inside that of a motorcycle or bicycle, from which on the person rides it."""


class Session(Protocol):
    """An ONNX Runtime session, as far as it is needed."""

    def run(self, outputs: list[str] | None, inputs: dict[str, Any]) -> list[Any]:
        """The outputs for these inputs."""


@dataclass(frozen=True)
class YoloxOptions:
    """How a network's answers are read.

    Attributes:
        height: px of the square that the network sees.
        width: px.
        classes: index of a class among the network's -> the type it stands for.
        person: index of the class of people; None for a network without.
        score: what a vehicle's score, object times class, has to reach.
        overlap: intersection over union of two boxes, from which on they are of one vehicle.
    """

    height: int
    width: int
    classes: Mapping[int, VehicleType]
    person: int | None
    score: float
    overlap: float


class YoloxDetector:
    """A `Detector`; one caller at a time.

    Args:
        session: takes `images` `[1, 3, H, W]`, answers `[1, cells, 5 + classes]`.
        options: how its answers are read.
    """

    def __init__(self, session: Session, options: YoloxOptions) -> None:
        self._session = session
        self._options = options

    def detect(self, frame: Image.Image) -> list[Vehicle]:
        """See `Detector.detect`."""
        options = self._options
        images, scale = letterbox(frame, options.height, options.width)
        (answer,) = self._session.run(None, {"images": images})
        corners, scores = decode_grid(answer[0], options.height, options.width)
        corners = np.clip(corners / scale, 0, np.array([*frame.size] * 2))
        return read_vehicles(corners, scores, options)


def letterbox(frame: Image.Image, height: int, width: int) -> tuple[Floats, float]:
    """What the network sees of an RGB frame, `[1, 3, H, W]`, and the scale, px there to a px of the frame."""
    scale = min(width / frame.width, height / frame.height)
    size = (max(1, int(frame.width * scale)), max(1, int(frame.height * scale)))
    shrunk = np.asarray(frame.resize(size, Image.Resampling.BICUBIC))
    images = np.full((1, 3, height, width), GREY, dtype=np.float32)
    images[0, :, : size[1], : size[0]] = shrunk[..., ::-1].transpose(2, 0, 1)
    return images, scale


def decode_grid(answer: Floats, height: int, width: int) -> tuple[Floats, Floats]:
    """A network's raw answer `[cells, 5 + classes]`: corners `[cells, 4]` in px of what it saw, scores
    `[cells, classes]`, object times class."""
    offsets, strides = _grid(height, width)
    centres = (answer[:, :2] + offsets) * strides
    # A size beyond the frame is cut off anyway; the exponential of what is no size must not overflow.
    halves = np.exp(np.minimum(answer[:, 2:4], 20)) * strides / 2
    return np.concatenate([centres - halves, centres + halves], axis=1), answer[:, 4:5] * answer[:, 5:]


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """The column and row of each cell, `[cells, 2]`, and its stride, `[cells, 1]`."""
    offsets, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        offsets.append(np.stack([columns, rows], axis=-1).reshape(-1, 2))
        strides.append(np.full((offsets[-1].shape[0], 1), stride))
    return np.concatenate(offsets).astype(np.float32), np.concatenate(strides).astype(np.float32)


def read_vehicles(corners: Floats, scores: Floats, options: YoloxOptions) -> list[Vehicle]:
    """The vehicles among boxes of the frame, the surest first; riders are taken into the boxes they ride.

    A box that overlaps a surer one is the same vehicle, whatever type it is taken for: of a van, the network
    is often sure as a car and as a truck.

    Args:
        corners: `[cells, 4]`: left, top, right, bottom.
        scores: `[cells, classes]`.
        options: see there.
    """
    indices = np.array(sorted(options.classes))
    best = scores[:, indices].argmax(axis=1)
    sure = scores[np.arange(len(scores)), indices[best]]
    found = np.flatnonzero(sure >= options.score)
    kept = found[suppress(corners[found], sure[found], options.overlap)][:MAX_VEHICLES]
    people = _people(corners, scores, options)
    vehicles = []
    for cell in kept:
        kind = options.classes[int(indices[best[cell]])]
        edges = _with_rider(corners[cell], people) if kind in RIDDEN else corners[cell]
        left, top, right, bottom = (round(float(edge)) for edge in edges)
        if min(right - left, bottom - top) >= MIN_SIDE:
            vehicles.append(Vehicle(Box(left, top, right - left, bottom - top), kind, float(sure[cell])))
    return vehicles


def suppress(corners: Floats, scores: Floats, overlap: float) -> NDArray[np.intp]:
    """Which of `[n, 4]` boxes are left, the surest first, when each one takes away those it overlaps."""
    order = scores.argsort(kind="stable")[::-1]
    kept = []
    while order.size:
        first, order = order[0], order[1:]
        kept.append(first)
        order = order[_iou(corners[first], corners[order]) < overlap]
    return np.array(kept, dtype=np.intp)


def _people(corners: Floats, scores: Floats, options: YoloxOptions) -> Floats:
    if options.person is None:
        return np.zeros((0, 4), dtype=np.float32)
    sure = scores[:, options.person]
    found = np.flatnonzero(sure >= options.score)
    return corners[found[suppress(corners[found], sure[found], options.overlap)]]


def _with_rider(corners: Floats, people: Floats) -> Floats:
    """A box and that of the first person who is inside it far enough."""
    inside = _intersection(corners, people) >= RIDER_INSIDE * _area(people)
    for person in people[inside][:1]:
        return np.concatenate([np.minimum(corners[:2], person[:2]), np.maximum(corners[2:], person[2:])])
    return corners


def _area(corners: Floats) -> Floats:
    sides: Floats = np.maximum(corners[..., 2:] - corners[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def _intersection(one: Floats, others: Floats) -> Floats:
    return _area(
        np.concatenate([np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])], axis=1)
    )


def _iou(one: Floats, others: Floats) -> Floats:
    """Intersection over union of a box and each of `[n, 4]`; 0 for boxes without an area."""
    shared = _intersection(one, others)
    union = _area(one) + _area(others) - shared
    share: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share
