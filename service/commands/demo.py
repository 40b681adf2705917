"""`lka-reid demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port of 127.0.0.1 to serve on.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Folder of the demo's galleries and log.")] = Path(".demo"),
) -> None:
    """Serve the shipped demo gallery on 127.0.0.1, run one query, and keep serving until Ctrl-C.

    Run again, it finds its gallery enrolled already.
    """
    from service.commands.demo_run import run
    from service.startup import clear_errors

    with clear_errors():
        run(port, data_dir)
