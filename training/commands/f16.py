"""`lka-reid add-f16`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.packages import SERVING, unusable
from models.terminal import err, out, print_error
from training.commands.measuring import BUNDLE
from training.commands.progress import refuse
from training.commands.running import Json

INSTALL = "pip install 'lka-reid[f16]'"


def add_f16(
    folder: Annotated[Path, typer.Option("--out", help="The new bundle's folder.", show_default=False)],
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The bundle to start from.", show_default="the default one")
    ] = BUNDLE,
    as_json: Json = False,
) -> None:
    """Give a bundle its embedder in 16 bits, too, which the runtime cuda then computes with.

    Everything else stays, and so does the fingerprint: galleries stay valid. Both embedders are compared
    here, on the CPU, and once more on the GPU whenever a worker starts. It needs the extra [f16], but no
    torch and no GPU: the new folder may be copied to another machine.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from models.bundle import EMBEDDER_F16, Bundle, BundleError
    from models.runtimes.forward import RuntimeNotAvailableError
    from training.atomic import OutputError, require_writable
    from training.export.errors import ExportError

    try:
        from training.export.half import add_f16 as add
    except (ImportError, OSError) as error:
        lacking = unusable(error)
        if lacking is None or lacking.remedy.endswith(SERVING):
            raise
        print_error(f"add-f16 needs onnx: {lacking.what}", INSTALL, kind=lacking.kind)
        raise typer.Exit(2) from None

    # Not by `ending`, whose errors are those of commands with torch.
    try:
        require_writable(folder)
        old = Bundle.load(bundle)
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=err) as progress:
            progress.add_task("converting and comparing")
            made = add(old, folder)
    except (BundleError, ExportError, OutputError, RuntimeNotAvailableError) as error:
        raise refuse(error) from None
    size = made.manifest.files[EMBEDDER_F16].bytes
    if as_json:
        out.print_json(
            data={"bundle": str(folder), "fingerprint": made.fingerprint, "file": EMBEDDER_F16, "bytes": size}
        )
        return
    out.print(
        f"bundle   {folder}   fingerprint {made.fingerprint[:12]}   {EMBEDDER_F16} of {size / 1e6:.0f} MB",
        soft_wrap=True,
    )
