"""`lka-reid query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from models.intake.files import reason_of, why_unreadable
from models.intake.names import shown
from models.terminal import err, out
from service.commands.console import (
    Waits,
    about_image,
    decided_line,
    matches_table,
    normalisation_line,
    scene_line,
    timings_line,
    verdict_line,
)
from service.commands.filter_options import Where, takes_filter
from service.commands.given import check_fields
from service.commands.options import DEFAULT_URL, Box, Collection, Json, Key, Url
from service.commands.vehicles import vehicles_table
from service.startup import CommandError

if TYPE_CHECKING:
    from service.remote.http import ServiceClient


class Choice(StrEnum):
    """See `detect` of `POST /query`."""

    one = "one"
    largest = "largest"
    all = "all"


@takes_filter
def query(
    *,
    where: Where,
    image: Annotated[Path, typer.Argument(help="The probe's image file.", show_default=False)],
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="Matches wanted.")] = 10,
    rerank: Annotated[
        bool, typer.Option(help="Whether the second stage re-orders the first matches.")
    ] = True,
    verdicts: Annotated[
        bool,
        typer.Option(
            help="Whether what was said of matches of this probe counts: images of another vehicle are left "
            "out, those of the same come first."
        ),
    ] = True,
    camera_id: Annotated[
        str | None, typer.Option(help="The probe's camera, where it is known.", show_default=False)
    ] = None,
    box: Box = None,
    detect: Annotated[
        Choice | None,
        typer.Option(
            metavar="WHICH",
            help="Of a frame: which of the vehicles that are found in it; one, largest or all.",
            show_default=False,
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="An HTML page to write: the answer with its images.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a running service for the enrolled images most similar to a probe."""
    from lka_reid_client.errors import ClientError, RefusedError
    from service.remote.http import ServiceClient

    check_fields(camera_id=camera_id)
    if why := why_unreadable(image):
        raise CommandError(f"{image} {why}", kind="file-error")
    if sheet is not None and sheet.suffix.lower() not in {".html", ".htm"}:
        raise CommandError(f"{sheet}: the sheet is a page; choose a name that ends in .html")
    if box is not None and detect is not None:
        raise CommandError(
            "give --box for a vehicle that you name, or --detect for what is found; one of both"
        )
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            answer = (
                client.query_all(
                    image, top_k=top_k, rerank=rerank, camera_id=camera_id, where=where, verdicts=verdicts
                )
                if detect is Choice.all
                else client.query(
                    image,
                    top_k=top_k,
                    rerank=rerank,
                    camera_id=camera_id,
                    where=where,
                    box=box,
                    detect=detect,
                    verdicts=verdicts,
                )
            )
            answers = answer.get("answers", [answer])
            page = None if sheet is None else _sheet(client, image, answers)
    except ClientError as error:
        if isinstance(error, RefusedError) and error.vehicles and not as_json:
            err.print(vehicles_table(error.vehicles, f"Vehicles in {escape(shown(image))}"))
        raise about_image(error, image) from None
    except OSError as error:
        raise CommandError(f"{image} {reason_of(error)}", kind="file-error") from None
    if sheet is not None and page is not None:
        try:
            sheet.write_text(page, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{sheet}: {error.strerror or error}", kind="file-error") from None
    if as_json:
        out.print_json(data=answer)
        return
    for one in answers:
        _print(one, image)
    if sheet is not None:
        out.print(f"sheet: {sheet}", markup=False, soft_wrap=True)


def _sheet(client: ServiceClient, image: Path, answers: Sequence[Mapping[str, Any]]) -> str:
    """The answers as a page. Raises ClientError, OSError."""
    from lka_reid_client.errors import RefusedError
    from lka_reid_client.kinds import Kind
    from service.commands.sheet import sheet

    def image_of(image_id: str) -> bytes | None:
        try:
            return client.image(image_id)[0]
        except RefusedError as error:
            if error.kind == Kind.UNKNOWN_IMAGE:
                return None
            raise

    return sheet(image.name, image.read_bytes(), answers, image_of, datetime.now(UTC))


def _print(answer: Mapping[str, Any], image: Path) -> None:
    """What was found for one vehicle."""
    of = ""
    if found := answer.get("vehicle"):
        of = f", {found['type']} at {','.join(map(str, found['box']))}"
    if answer["matches"]:
        out.print(matches_table(answer, f"Most similar to {escape(shown(image) + of)}"))
        if said := verdict_line(answer):
            out.print(said)
        if asked := scene_line(answer):
            out.print(asked)
    elif answer.get("searched") == 0:
        out.print("No enrolled image meets the filter")
    elif answer["gallery_size"]:
        out.print("No enrolled image is left")
    else:
        out.print("Nothing is enrolled yet: see [bold]lka-reid enroll --help[/]")
    if decided := decided_line(answer):
        out.print(decided)
    if used := answer.get("normalisation"):
        out.print(normalisation_line(used))
    out.print(timings_line(answer))
