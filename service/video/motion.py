"""What moves before a camera that stands still, as boxes.

A small detector sees a vehicle from above, cut off or at night in some frames only; between them, what moved
there is followed by its pixels. OpenCV's mixture of Gaussians (Zivkovic, ICPR 2004) knows the background. A
passing vehicle also changes the camera's exposure, and the light on everything else: a smooth surface is
fitted to the ratio of background and frame, robustly, and taken out first.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.detection.vehicle import Box

SIDE = 384
"""px of the longer side of what is compared."""
CELL = 12
"""px of the cells whose median ratio the light is fitted to."""
LEAST_CELLS = 48
"""Fewer say too little of a surface with six numbers, most of all where something hides some of them."""
FITS = 8
OUTLIER = 0.05
"""Difference of logarithms from which on a cell counts little: it shows something else than background."""
VARIANCES = 50
"""Squared distance to the background, in variances, from which on a pixel is foreground."""
LEARNING = 0.005
"""How fast the background follows, a frame: a vehicle that waits for 10 s stays foreground."""
HISTORY = 200
WARM_FRAMES = 30
"""Frames after which the background is known well enough."""
LEAST_AREA = 0.006
"""Share of the frame; smaller things are no vehicle that could be told from another."""
LARGEST_SHARE = 0.5
"""Share of the frame beyond which the camera itself has moved."""
GAP = 15
"""px over which the parts of one thing are joined."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class MotionFinder:
    """Frames of one camera in their order -> boxes of what moves."""

    def __init__(self) -> None:
        import cv2

        self._cv = cv2
        self._background = cv2.createBackgroundSubtractorMOG2(HISTORY, VARIANCES, True)
        self._seen = 0

    def find(self, frame: Image.Image) -> list[Box]:
        """What moves in an RGB frame, px; nothing before the background is known, or if the camera moved."""
        cv = self._cv
        scale = max(1.0, max(frame.size) / SIDE)
        size = (max(1, round(frame.width / scale)), max(1, round(frame.height / scale)))
        resized = cv.resize(np.asarray(frame), size, interpolation=cv.INTER_AREA)
        small: Pixels = np.asarray(resized, dtype=np.uint8)
        if self._seen:
            background: Pixels = np.asarray(self._background.getBackgroundImage(), dtype=np.uint8)
            small = without_light(small, background)
        warm = self._seen >= WARM_FRAMES
        mask = self._background.apply(small, learningRate=LEARNING if warm else -1)
        self._seen += 1
        if not warm:
            return []
        # 127 is shadow.
        moving = (mask == 255).astype(np.uint8)
        moving = cv.morphologyEx(moving, cv.MORPH_OPEN, np.ones((3, 3), np.uint8))
        moving = cv.morphologyEx(moving, cv.MORPH_CLOSE, np.ones((GAP, GAP), np.uint8))
        if moving.mean() > LARGEST_SHARE:
            return []
        _, _, found, _ = cv.connectedComponentsWithStats(moving)
        across, down = frame.width / size[0], frame.height / size[1]
        return [
            _scaled(left, top, width, height, across, down)
            for left, top, width, height, area in found[1:].tolist()
            if area >= LEAST_AREA * moving.size
        ]


def without_light(frame: Pixels, background: Pixels) -> Pixels:
    """A frame `[H, W, 3]` in the light of the background.

    The logarithm of their ratio is fitted by a quadratic surface through the medians of cells, weighted anew
    with each fit, so that what hides the background does not count.
    """
    ratio = np.log((_grey(background) + 1) / (_grey(frame) + 1))
    height, width = ratio.shape
    rows, columns = max(1, height // CELL), max(1, width // CELL)
    cells = ratio[: rows * CELL, : columns * CELL]
    if rows * columns < LEAST_CELLS or cells.shape != (rows * CELL, columns * CELL):
        return frame
    medians = np.median(cells.reshape(rows, CELL, columns, CELL), axis=(1, 3)).ravel()
    terms = _terms(rows, columns).reshape(rows * columns, -1)
    weights = np.ones_like(medians)
    factors = np.zeros(terms.shape[1], dtype=np.float32)
    for _ in range(FITS):
        factors = np.linalg.lstsq(terms * weights[:, None], medians * weights, rcond=None)[0]
        weights = 1 / (1 + ((medians - terms @ factors) / OUTLIER) ** 2)
    gain = np.exp(_terms(height, width) @ factors)
    lit: Pixels = np.clip(frame * gain[..., None], 0, 255).astype(np.uint8)
    return lit


def _grey(image: Pixels) -> Floats:
    grey: Floats = image.astype(np.float32).mean(axis=2)
    return grey


@lru_cache(maxsize=4)
def _terms(rows: int, columns: int) -> Floats:
    """1, x, y, x^2, y^2 and xy at each place, `[rows, columns, 6]`; the middle is the origin."""
    y, x = np.meshgrid(
        np.linspace(-0.5, 0.5, rows, dtype=np.float32),
        np.linspace(-0.5, 0.5, columns, dtype=np.float32),
        indexing="ij",
    )
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def _scaled(left: int, top: int, width: int, height: int, across: float, down: float) -> Box:
    x, y = round(left * across), round(top * down)
    return Box(x, y, round((left + width) * across) - x, round((top + height) * down) - y)
