"""`lka-reid version`."""

from __future__ import annotations

from models.terminal import out


def version() -> None:
    """Print the version."""
    from service.version import VERSION

    out.print(f"lka-reid {VERSION}")
