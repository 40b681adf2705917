"""Text on a picture, in Pillow's own font: no font files, the same picture everywhere."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from service.explanation.colours import INK, Colour

SMALL, NORMAL, HEADING, TITLE = 13, 15, 18, 25

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=8)
def font(size: int) -> Font:
    """The font in a size, in px."""
    return ImageFont.load_default(size)


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int = NORMAL,
    colour: Colour = INK,
    anchor: str = "ls",
) -> None:
    """Write one line.

    Args:
        draw: on what.
        at: x and y of the anchor, px.
        text: characters that the font lacks become question marks.
        size: px.
        colour: of the ink.
        anchor: Pillow's two letters: left, middle, right; and s for the baseline, m for the middle.
    """
    draw.text(at, printable(text), colour, font(size), anchor)


def width(text: str, size: int) -> float:
    """Of a line, in px."""
    return float(font(size).getlength(printable(text)))


def fit(text: str, size: int, room: float) -> str:
    """The text, its middle left out where it is wider than `room` px."""
    text = printable(text)
    if width(text, size) <= room:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head, tail = text[: (kept + 1) // 2], text[len(text) - kept // 2 :]
        if width(f"{head}...{tail}", size) <= room:
            return f"{head}...{tail}"
    return "..."


def wrap(text: str, size: int, room: float) -> list[str]:
    """The text in lines of at most `room` px, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        if lines and width(f"{lines[-1]} {word}", size) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def paragraph(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    room: float,
    size: int = SMALL,
    colour: Colour = INK,
) -> float:
    """Write lines of at most `room` px below `at`; the y below the last one."""
    x, y = at
    for line in wrap(text, size, room):
        write(draw, (x, y + size), line, size, colour)
        y += round(1.4 * size)
    return y


def printable(text: str) -> str:
    """The text with question marks for what the font has no picture of."""
    return "".join(character if _has(character) else "?" for character in text)


@lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    if " " <= character <= "~":
        return True
    return character.isprintable() and _pixels(character) != _pixels("\uffff")


def _pixels(character: str) -> bytes:
    image = Image.new("L", (48, 48))
    ImageDraw.Draw(image).text((8, 36), character, 255, font(24), "ls")
    return image.tobytes()
