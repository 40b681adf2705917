"""`lka-reid bundle`: what is done to a model bundle."""

from __future__ import annotations

from enum import StrEnum
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


class Flip(StrEnum):
    """Whether the mirror image is embedded, too."""

    on = "on"
    off = "off"


@app.command()
def flip(
    choice: Annotated[Flip, typer.Argument(metavar="on|off", show_default=False)],
    folder: Annotated[Path, typer.Option("--out", help="The new bundle's folder.", show_default=False)],
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="The bundle to start from.", show_default="the shipped one"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a bundle that embeds each image together with its mirror image, or alone in half the time.

    Its descriptors are others, and so is its fingerprint: lka-reid gallery re-embed moves a gallery to it.
    Accuracy and thresholds of before are left out; lka-reid calibrate finds new ones.
    """
    from service.startup import clear_errors

    with clear_errors():
        from models.bundle import DEFAULT_BUNDLE, Bundle
        from models.variant import write_flip

        made = write_flip(Bundle.load(bundle or DEFAULT_BUNDLE), folder, on=choice is Flip.on)
    if as_json:
        out.print_json(
            data={"folder": str(folder), "fingerprint": made.fingerprint, "flip": made.manifest.input.flip}
        )
        return
    out.print(f"{folder}: fingerprint {made.fingerprint[:12]}, flip {choice}", soft_wrap=True)
    err.print("it has no thresholds: lka-reid calibrate finds them on your own images", soft_wrap=True)


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
