"""`lka-reid bundle`: what is done to a model bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.terminal import err, out
from service.commands.options import Json

app = typer.Typer(
    help="Look after a model bundle.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.callback()
def bundle() -> None:
    """Look after a model bundle."""


@app.command()
def migrate(
    folder: Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Bring a bundle of manifest format 1 to format 2, in its place.

    The models stay as they are. The bundle gets a new fingerprint and keeps the old manifest, which proves
    that galleries of the old fingerprint hold its descriptors and strips: they stay valid.
    """
    from service.startup import clear_errors

    with clear_errors():
        from models.migration import migrate as bring_over

        done = bring_over(folder)
    if as_json:
        out.print_json(
            data={
                "folder": str(folder),
                "fingerprint": done.bundle.fingerprint,
                "supersedes": done.superseded,
                "left_out": list(done.left_out),
            }
        )
        return
    out.print(
        f"{folder}: fingerprint {done.bundle.fingerprint[:12]}, supersedes {done.superseded[:12]}",
        soft_wrap=True,
    )
    for part in done.left_out:
        err.print(
            f"[yellow]{part}[/] has no known shape and was left out; the old manifest beside the new one "
            "still has it",
            soft_wrap=True,
        )
