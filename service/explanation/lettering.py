"""Text on a figure, in Pillow's own font: no font files, the same figure everywhere."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from unicodedata import combining, normalize

from PIL import Image, ImageDraw, ImageFont

from service.explanation.colours import INK, Colour

SMALL, NORMAL, HEADING, TITLE = 13, 15, 18, 25
LONGEST = 1000
"""Characters of a line: more than the widest figure has room for, unless they take none, as accents may."""

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
        text: of letters that the font lacks the accents are left out; other characters become question marks.
        size: px.
        colour: of the ink.
        anchor: Pillow's two letters: left, middle, right; and s for the baseline, m for the middle.
    """
    draw.text(at, printable(text), colour, font(size), anchor)


def width(text: str, size: int) -> float:
    """Of a line, in px."""
    return float(font(size).getlength(printable(text)))


def fit(text: str, size: int, room: float) -> str:
    """The text, its middle left out where it is wider than `room` px, or longer than `LONGEST` characters."""
    if len(text) <= LONGEST:
        text = printable(text)
        if width(text, size) <= room:
            return text
    else:
        text = printable(text[: LONGEST // 2] + text[-LONGEST // 2 :])

    def shortened(kept: int) -> str:
        return f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"

    # By halves: measuring a line takes as long as it is.
    kept = bisect_right(range(2, len(text)), room, key=lambda kept: width(shortened(kept), size)) + 1
    return shortened(kept) if kept > 1 else "..."


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
    """The text as the font can draw it: letters without their accents, and question marks for the rest."""
    return "".join(character if _has(character) else _plain(character) for character in text)


def _plain(character: str) -> str:
    for spelled in (character, character.casefold()):
        letters = [each for each in normalize("NFKD", spelled) if not combining(each)]
        if letters and all(" " <= each <= "~" for each in letters):
            return "".join(letters)
    # An accent by itself, of a letter before it.
    return "" if combining(character) else "?"


@lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    if " " <= character <= "~":
        return True
    return character.isprintable() and _pixels(character) != _missing()


@lru_cache(maxsize=1)
def _missing() -> bytes:
    return _pixels("\uffff")


def _pixels(character: str) -> bytes:
    image = Image.new("L", (48, 48))
    ImageDraw.Draw(image).text((8, 36), character, 255, font(24), "ls")
    return image.tobytes()
