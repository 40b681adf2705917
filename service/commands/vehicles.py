"""How commands print the vehicles of a frame: as a table, and as boxes drawn into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from service.commands.console import table

if TYPE_CHECKING:
    from PIL import Image

COLOUR = (255, 80, 0)


def vehicles_table(vehicles: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Vehicles as `POST /detect` answers them, with boxes as `--box` takes them."""
    made = table(title, "#", "type!", "score#", "box: left,top,width,height!")
    for number, vehicle in enumerate(vehicles, start=1):
        box = ",".join(map(str, vehicle["box"]))
        made.add_row(str(number), escape(vehicle["type"]), f"{vehicle['score']:.2f}", box)
    return made


def drawn(frame: Image.Image, vehicles: Sequence[Mapping[str, Any]]) -> Image.Image:
    """A frame with the vehicles' boxes, numbered as in their table."""
    from PIL import ImageDraw, ImageFont

    marked = frame.copy()
    pen = ImageDraw.Draw(marked)
    width = max(2, max(frame.size) // 300)
    font = ImageFont.load_default(size=max(12, max(frame.size) // 50))
    for number, vehicle in enumerate(vehicles, start=1):
        left, top, across, down = vehicle["box"]
        pen.rectangle((left, top, left + across - 1, top + down - 1), outline=COLOUR, width=width)
        label = f"{number} {vehicle['type']} {vehicle['score']:.2f}"
        space = pen.textbbox((left + 2 * width, top + 2 * width), label, font=font)
        pen.rectangle((left, top, space[2] + 2 * width, space[3] + 2 * width), fill=COLOUR)
        pen.text((left + 2 * width, top + 2 * width), label, fill=(0, 0, 0), font=font)
    return marked
