"""`lka-reid query`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from models.intake.files import reason_of, why_unreadable
from models.intake.names import shown
from models.terminal import out
from service.commands.console import Waits, matches_table, normalisation_line, timings_line, verdict_line
from service.commands.options import DEFAULT_URL, Key, Url
from service.startup import CommandError


def query(
    image: Annotated[Path, typer.Argument(help="The probe's image file.", show_default=False)],
    url: Url = DEFAULT_URL,
    key: Key = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="Matches wanted.")] = 10,
    rerank: Annotated[
        bool, typer.Option(help="Whether the second stage re-orders the first matches.")
    ] = True,
    camera_id: Annotated[
        str | None, typer.Option(help="The probe's camera, where it is known.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")] = False,
) -> None:
    """Ask a running service for the enrolled images most similar to a probe."""
    from service.client.errors import ClientError
    from service.client.http import ServiceClient

    if why := why_unreadable(image):
        raise CommandError(f"{image} {why}")
    try:
        with ServiceClient(url, key, on_wait=Waits()) as client:
            answer = client.query(image, top_k=top_k, rerank=rerank, camera_id=camera_id)
    except ClientError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{image} {reason_of(error)}") from None
    if as_json:
        out.print_json(data=answer)
        return
    if answer["matches"]:
        out.print(matches_table(answer, f"Most similar to {escape(shown(image))}"))
    else:
        out.print("Nothing is enrolled yet: see [bold]lka-reid enroll --help[/]")
    if verdict := verdict_line(answer):
        out.print(verdict)
    if used := answer.get("normalisation"):
        out.print(normalisation_line(used))
    out.print(timings_line(answer))
