"""`lka-reid version`."""

from __future__ import annotations

from models.terminal import out
from service.commands.options import Json


def version(as_json: Json = False) -> None:
    """Print the version."""
    from service.version import VERSION

    if as_json:
        out.print_json(data={"version": VERSION})
        return
    out.print(f"lka-reid {VERSION}")
