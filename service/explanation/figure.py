"""An explanation as a figure: both images, who looked at whom, how far each strip is, what responds."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime

from PIL import Image, ImageDraw

from models.explanation import Explanation
from models.manifest import Manifest
from service.explanation import panels, words
from service.explanation.colours import FAINT, INK, PAPER, RULE
from service.explanation.lettering import HEADING, NORMAL, SMALL, TITLE, fit, paragraph, width, write

MARGIN = 36
HIGH = 360
BETWEEN = 210
MAP = 272
TILE = 184
WORDS = 330
"""Width that the legends need beside maps and tiles."""
LINE = 480
"""The longest line of a legend."""


@dataclass(frozen=True)
class Pair:
    """Two images and what people call them."""

    probe: Image.Image
    candidate: Image.Image
    probe_name: str = "probe"
    candidate_name: str = "candidate"


@dataclass(frozen=True)
class Layout:
    """Where things are, in px, for one shape of network.

    Attributes:
        image: size of each of the two images.
        tile: size of one activation map.
        branches: columns of those.
        columns: of the table of distances.
    """

    image: tuple[int, int]
    tile: tuple[int, int]
    branches: int
    columns: int

    @classmethod
    def of(cls, explanation: Explanation, manifest: Manifest) -> Layout:
        """The layout for a bundle's input and branches."""
        # Very long inputs are drawn squarer than they are.
        aspect = min(2.0, max(0.5, manifest.input.width / manifest.input.height))
        return cls(
            (round(HIGH * aspect), HIGH),
            (round(TILE * aspect), TILE),
            len(explanation.branches),
            len(explanation.columns),
        )

    @property
    def table(self) -> int:
        """Left edge of the distances."""
        return MARGIN + 2 * self.image[0] + BETWEEN + 40

    @property
    def size(self) -> tuple[int, int]:
        """Of the whole figure."""
        table = (self.columns + 1) * panels.CELL + 80
        maps = MARGIN + 2 * (30 + MAP + 36) + WORDS
        tiles = 30 + MARGIN + self.branches * (self.tile[0] + 12) + 24 + WORDS
        return max(self.table + table, maps, tiles) + MARGIN, self.tiles + 2 * (self.tile[1] + 12) + MARGIN

    @property
    def bands(self) -> int:
        """Top edge of the two images."""
        return 172

    @property
    def maps(self) -> int:
        """Top edge of the attention maps."""
        return self.bands + HIGH + 150

    @property
    def tiles(self) -> int:
        """Top edge of the activation maps."""
        return self.maps + MAP + 90


def draw(explanation: Explanation, pair: Pair, manifest: Manifest) -> Image.Image:
    """The figure, RGB; its size depends on the bundle alone.

    Args:
        explanation: what is drawn.
        pair: the images it is about.
        manifest: of the bundle that explains.
    """
    layout = Layout.of(explanation, manifest)
    sheet = Image.new("RGB", layout.size, PAPER)
    _head(sheet, explanation, manifest)
    _bands(sheet, layout, explanation, pair, manifest)
    _attention(sheet, layout, explanation, manifest)
    _activations(sheet, layout, explanation, pair)
    return sheet


def png(figure: Image.Image) -> bytes:
    """The figure as a file."""
    stream = io.BytesIO()
    figure.save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def _head(sheet: Image.Image, explanation: Explanation, manifest: Manifest) -> None:
    draw = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * MARGIN
    title = f"Similarity {explanation.similarity:.3f}    Re-rank distance {explanation.distance:.3f}    "
    day = datetime.now(UTC).date().isoformat()
    title += fit(manifest.name, TITLE, room - width(title, TITLE) - width(f"  {day}", NORMAL))
    write(draw, (MARGIN, 54), title, TITLE)
    write(draw, (sheet.width - MARGIN, 54), day, NORMAL, FAINT, "rs")
    write(draw, (MARGIN, 82), fit(words.sum_line(explanation, manifest), NORMAL, room), NORMAL, FAINT)
    draw.line((MARGIN, 98, sheet.width - MARGIN, 98), RULE, 1)


def _bands(
    sheet: Image.Image, layout: Layout, explanation: Explanation, pair: Pair, manifest: Manifest
) -> None:
    draw = ImageDraw.Draw(sheet)
    wide, high = layout.image
    top, between = layout.bands, MARGIN + wide
    right = between + BETWEEN
    write(draw, (MARGIN, top - 44), "Which band looked at which", HEADING)
    write(draw, (layout.table, top - 44), "How far apart the strips are", HEADING)
    for left, role, name in ((MARGIN, "Probe", pair.probe_name), (right, "Candidate", pair.candidate_name)):
        write(draw, (left, top - 10), fit(f"{role}: {name}", SMALL, wide), SMALL, FAINT)
    bands = explanation.bands
    panels.cut_image(sheet, (MARGIN, top), layout.image, pair.probe, bands, on_right=True)
    panels.cut_image(sheet, (right, top), layout.image, pair.candidate, bands, on_right=False)
    attention = explanation.band_attention("probe")
    if not panels.ribbons(sheet, (between + 8, top), (BETWEEN - 16, high), attention):
        text = words.even(attention)
        paragraph(draw, (between + 26, top + high // 2 - 46), text, BETWEEN - 52, colour=FAINT)
    text = words.ribbons(attention, manifest)
    paragraph(draw, (MARGIN, top + high + 12), text, right + wide - MARGIN, colour=FAINT)

    distances = explanation.strip_distances
    panels.distance_table(sheet, (layout.table, top), high, distances, explanation.columns)
    bar = (layout.columns + 1) * panels.CELL + 8
    ends = ("0: the same", f"{panels.FAR:g} and more: far apart")
    panels.colour_bar(sheet, (layout.table, top + high + 16), (bar, 10), "distance", ends)


def _attention(sheet: Image.Image, layout: Layout, explanation: Explanation, manifest: Manifest) -> None:
    draw = ImageDraw.Draw(sheet)
    top = layout.maps
    probe, candidate = explanation.attention("probe"), explanation.attention("candidate")
    span = panels.ratio_span(probe, candidate)
    write(draw, (MARGIN, top - 46), "Which strip looked at which", HEADING)
    left = MARGIN + 30
    for attention, rows, columns in ((probe, "probe", "candidate"), (candidate, "candidate", "probe")):
        write(draw, (left, top - 25), f"{rows} (rows) at {columns} (columns)", SMALL, FAINT)
        panels.attention_map(sheet, (left, top), MAP, attention, explanation.columns, span)
        left += MAP + 36 + 30
    left -= 30
    even = 100 / len(probe)
    ends = (f"{1 / span:.2g} x even", f"even, {even:.3g} %", f"{span:.2f} x even")
    panels.colour_bar(sheet, (left, top), (WORDS - 10, 12), "attention", ends)
    y = float(top + 44)
    for text in (words.strips(explanation, manifest), words.spread(probe, candidate, manifest)):
        y = 8 + paragraph(draw, (left, y), text, min(LINE, sheet.width - MARGIN - left))


def _activations(sheet: Image.Image, layout: Layout, explanation: Explanation, pair: Pair) -> None:
    draw = ImageDraw.Draw(sheet)
    top, (wide, high) = layout.tiles, layout.tile
    write(draw, (MARGIN, top - 30), "What each branch responds to", HEADING)
    rows = (
        ("probe", pair.probe, explanation.probe_activations),
        ("candidate", pair.candidate, explanation.candidate_activations),
    )
    left = MARGIN + 30
    for row, (role, image, maps) in enumerate(rows):
        level = top + row * (high + 12)
        _upright(sheet, (MARGIN, level), high, role)
        for number, (name, activation) in enumerate(zip(explanation.branches, maps, strict=True)):
            x = left + number * (wide + 12)
            sheet.paste(panels.overlay(image, activation, layout.tile), (x, level))
            if row == 0:
                write(draw, (x + wide / 2, top - 8), name, NORMAL, INK, "ms")
    left += layout.branches * (wide + 12) + 24
    panels.colour_bar(sheet, (left, top), (WORDS - 10, 12), "activation", ("lowest", "highest"))
    y = float(top + 44)
    for text in (words.ACTIVATIONS, words.letters(explanation.branches)):
        y = 8 + paragraph(draw, (left, y), text, min(LINE, sheet.width - MARGIN - left))


def _upright(sheet: Image.Image, at: tuple[int, int], length: int, text: str) -> None:
    """A word that reads from below to above."""
    lying = Image.new("RGB", (length, 20), PAPER)
    write(ImageDraw.Draw(lying), (length / 2, 10), text, SMALL, FAINT, "mm")
    sheet.paste(lying.rotate(90, expand=True), at)
