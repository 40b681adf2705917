"""`lka-reid query`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.commands.console import matches_table, out, timings_line
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")] = False,
) -> None:
    """Ask a running service for the enrolled images most similar to a probe."""
    from service.client.http import RefusedError, ServiceClient, ServiceUnreachableError

    try:
        with ServiceClient(url, key) as client:
            answer = client.query(image, top_k=top_k, rerank=rerank)
    except (ServiceUnreachableError, RefusedError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{image}: {error.strerror}") from None
    if as_json:
        out.print_json(data=answer)
        return
    if answer["matches"]:
        out.print(matches_table(answer, f"Most similar to {image}"))
    else:
        out.print("Nothing is enrolled yet: see [bold]lka-reid enroll --help[/]")
    out.print(timings_line(answer))
