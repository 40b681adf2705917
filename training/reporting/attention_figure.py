"""A figure of one vehicle, uncovered and partly hidden, and of where branches look on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from training.evaluation.shift.changes import Box

LEAST, MOST = 0.0, 2.0
"""Of an even share, at the ends of the colours."""
BOX = "#d6604d"


@dataclass(frozen=True)
class Line:
    """A line of the figure.

    Attributes:
        name: how the image is changed.
        image: RGB.
        box: what is hidden of it, or None.
        maps: where is looked, by column: `[h, w]`, each of sum 1.
    """

    name: str
    image: Image.Image
    box: Box | None
    maps: Mapping[str, NDArray[np.float64]]


def draw(lines: Sequence[Line], out: Path) -> None:
    """Draw lines below each other: the image, then its maps in shares of an even one.

    Args:
        lines: of one vehicle; all with the same columns.
        out: the image file to write; its ending says which kind.
    """
    mpl.use("Agg")
    columns = list(lines[0].maps)
    figure = Figure(figsize=(1.5 * (len(columns) + 1) + 0.6, 1.5 * len(lines) + 0.6), dpi=100)
    grid = figure.subplots(len(lines), len(columns) + 1, squeeze=False)
    figure.subplots_adjust(left=0.05, right=0.89, top=0.93, bottom=0.01, wspace=0.06, hspace=0.06)
    for number, line in enumerate(lines):
        axes = grid[number]
        axes[0].imshow(np.asarray(line.image.resize((160, 160))), extent=(0, 1, 1, 0))
        axes[0].set_ylabel(line.name, fontsize=9)
        for panel, column in zip(axes[1:], columns, strict=True):
            each = line.maps[column]
            shown = panel.imshow(each * each.size, extent=(0, 1, 1, 0), cmap="viridis", vmin=LEAST, vmax=MOST)
            if number == 0:
                panel.set_title(column, fontsize=9)
        for panel in axes:
            _frame(panel, line.box)
    bar = figure.colorbar(shown, cax=figure.add_axes((0.91, 0.2, 0.015, 0.5)))
    bar.set_label("times an even share", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.savefig(out, facecolor="white")


def _frame(axes: Axes, box: Box | None) -> None:
    """No ticks, and the outline of what is hidden."""
    axes.set_xticks([])
    axes.set_yticks([])
    if box is not None:
        left, top, right, bottom = box
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=BOX, linewidth=1.5)
        )
