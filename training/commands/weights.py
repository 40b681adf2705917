"""`lka-reid weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.terminal import out
from training.commands.running import Json, ending

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Published weights to start from: the commands that fetch them, and their conversion.",
)


@app.command()
def fetch(as_json: Json = False) -> None:
    """Print the commands that fetch published weights, with hash, licence and layout; nothing is fetched."""
    from training.checkpoints.published import PUBLISHED

    if as_json:
        names = ("name", "licence", "layout", "command", "file", "sha256")
        out.print_json(data=[{name: getattr(each, name) for name in names} for each in PUBLISHED])
        return
    for each in PUBLISHED:
        out.print(f"[bold]{each.name}[/] ({each.licence}), weights.layout {each.layout}", soft_wrap=True)
        out.print(f"  {each.command}", soft_wrap=True, markup=False)
        out.print(f"  lka-reid weights convert {each.file}", soft_wrap=True, markup=False)
        out.print(f"  SHA-256 {each.sha256}{'...' if len(each.sha256) < 64 else ''}", soft_wrap=True)


@app.command()
def convert(
    file: Annotated[
        Path, typer.Argument(help="A file that you have fetched, under its own name.", show_default=False)
    ],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The safetensors to write.", show_default="beside the file")
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(help="That the file must have, in the place of the published one.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a published file's hash and write its weights as safetensors, which `--weights` takes."""
    from models.manifest import hash_file
    from training.checkpoints.published import convert as write

    target = out_file or file.with_suffix(".safetensors")
    with ending():
        known = write(file, target, sha256)
    if as_json:
        answer = {"weights": str(target), "sha256": hash_file(target), "layout": known.layout}
        out.print_json(data=answer)
        return
    out.print(f"weights  {target}   SHA-256 {hash_file(target)}", soft_wrap=True, markup=False)
    out.print(f"layout   --set weights.layout={known.layout}", soft_wrap=True, markup=False)
