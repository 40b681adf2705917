"""`lka-reid detect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from models.intake.files import reason_of, why_unreadable
from models.intake.names import shown
from models.terminal import out
from service.commands.console import Waits, about_image
from service.commands.options import DEFAULT_URL, DetectorDir, Json, Key, Url
from service.startup import CommandError

if TYPE_CHECKING:
    from models.decoding.imagefile import Frame


def detect(
    image: Annotated[Path, typer.Argument(help="The frame's image file.", show_default=False)],
    url: Url = DEFAULT_URL,
    key: Key = None,
    here: Annotated[bool, typer.Option("--here", help="Look in this process; no service is needed.")] = False,
    detector: DetectorDir = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A PNG to write: the frame, with the boxes.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the vehicles in a frame, an image of a whole scene, and print their boxes.

    `lka-reid query FRAME --box BOX` searches for one of them.
    """
    if why := why_unreadable(image):
        raise CommandError(f"{image} {why}", kind="file-error")
    if output is not None and output.suffix.lower() != ".png":
        raise CommandError(f"{output}: the drawn frame is a PNG; choose a name that ends in .png")
    if detector is not None and not here:
        raise CommandError("--detector is for --here; a service has its own, see LKA_REID_DETECTOR")
    try:
        answer = _found_here(image, detector) if here else _asked(image, url, key)
        if output is not None:
            from service.commands.vehicles import drawn

            drawn(_decoded(image).image, answer["vehicles"]).save(output)
    except OSError as error:
        raise CommandError(f"{error.filename or image} {reason_of(error)}", kind="file-error") from None
    if as_json:
        out.print_json(data=answer)
        return
    from service.commands.vehicles import vehicles_table

    size = f"{answer['width']} x {answer['height']} px"
    if answer["vehicles"]:
        out.print(vehicles_table(answer["vehicles"], f"Vehicles in {escape(shown(image))}, {size}"))
    else:
        out.print(f"No vehicle was found in {shown(image)}, {size}", markup=False, soft_wrap=True)
    if output is not None:
        out.print(f"drawn: {output}", markup=False, soft_wrap=True)


def _asked(image: Path, url: str, key: str | None) -> dict[str, Any]:
    """What a service finds. Raises CommandError, OSError."""
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    try:
        with ServiceClient(url, key, on_wait=Waits()) as client:
            return client.detect(image)
    except ClientError as error:
        raise about_image(error, image) from None


def _found_here(image: Path, folder: Path | None) -> dict[str, Any]:
    """What the detector finds in this process. Raises CommandError, OSError."""
    from service.startup import load_detector

    frame = _decoded(image)
    detector, _, _ = load_detector(folder)
    return {
        "width": frame.width,
        "height": frame.height,
        "vehicles": [
            {"box": list(vehicle.box), "type": vehicle.type, "score": round(vehicle.score, 4)}
            for vehicle in detector.detect(frame.image)
        ],
    }


def _decoded(image: Path) -> Frame:
    """The frame, whole and upright. Raises CommandError, OSError."""
    from models.decoding import ImageError
    from models.decoding.imagefile import decode_frame

    try:
        return decode_frame(image.read_bytes(), whole=True)
    except ImageError as error:
        raise CommandError(f"{image}: {error}") from None
