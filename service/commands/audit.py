"""`lka-reid audit`: what the audit log holds."""

from __future__ import annotations

from typing import Annotated

import typer

from service.commands.console import err
from service.commands.options import DataDir
from service.startup import CommandError

HELP = "Look into the audit log."

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")


@app.callback(help=HELP)
def audit() -> None:
    """The group."""


@app.command()
def find(
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The image's id.")],
    data_dir: DataDir = None,
) -> None:
    """Print the entries that name an image, one JSON line each, oldest first.

    The log holds ids as keyed hashes; the key is `audit.key` in the data directory.
    """
    from service.access.auditfind import find_image
    from service.access.idhash import IdHasher, IdKeyError
    from service.startup import clear_errors, settings_from

    settings = settings_from(data_dir=data_dir)
    with clear_errors():
        if not settings.audit_path.exists():
            raise CommandError(f"there is no audit log at {settings.audit_path}; --data-dir names its folder")
        try:
            found = find_image(settings.audit_path, IdHasher(settings.audit_key_path), image_id)
        except IdKeyError as error:
            raise CommandError(str(error)) from None
    for line in found.lines:
        typer.echo(line)
    if found.unreadable:
        err.print(f"{found.unreadable} lines are no entries, and may have named it.")
    if not found.lines:
        err.print("No entry names it.")
