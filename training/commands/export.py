"""`lka-reid export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from models.terminal import out
from training.commands.running import Json, accuracy_values, ending


class Precision(StrEnum):
    """How the weights of an exported network are stored."""

    fp32 = "fp32"
    int8 = "int8"


def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="Folder of a finished `lka-reid train embedder`, `reranker` or `default-bundle`.",
            show_default=False,
        ),
    ],
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", "--out", help="Where the bundle goes.", show_default="bundle/ in the run"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name.", show_default="the run's")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="How weights are stored.", show_default="as they were measured")
    ] = None,
    torch_weights: Annotated[
        bool | None,
        typer.Option(
            "--torch-weights/--no-torch-weights",
            help="Also write float32 weights for the runtime torch-cuda.",
            show_default="as configured",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a finished run as a bundle, after proving that ONNX Runtime agrees with torch."""
    from models.bundle import Bundle
    from training.export.run import export_run, finished_run
    from training.reporting.terminal import accuracy_table

    with ending(writes=[bundle or run]):
        parity = export_run(
            run,
            bundle,
            name=name,
            precision=precision.value if precision is not None else None,
            torch_weights=torch_weights,
        )
        target = bundle or finished_run(run).bundle
        written = Bundle.load(target)
    size = sum(file.bytes for file in written.manifest.files.values())
    if as_json:
        out.print_json(
            data={
                "bundle": str(target),
                "bytes": size,
                "cosine_to_torch": float(parity.cosine),
                "fingerprint": written.fingerprint,
                "accuracy": accuracy_values(written.manifest),
            }
        )
        return
    if written.manifest.accuracy is not None:
        out.print(accuracy_table(written.manifest.accuracy))
    out.print(
        f"{target}: {size / 1e6:.1f} MB, "
        f"cosine to torch at least {parity.cosine:.6f}, fingerprint {written.fingerprint[:12]}",
        soft_wrap=True,
    )
