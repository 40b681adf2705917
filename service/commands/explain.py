"""`lka-reid explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import out
from service.commands.options import BundleDir, Threads
from service.startup import CommandError

if TYPE_CHECKING:
    from PIL import Image


def explain(
    probe: Annotated[Path, typer.Argument(help="The probe's image file.", show_default=False)],
    candidate: Annotated[Path, typer.Argument(help="The image it is compared with.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The PNG to write. Default: explained-PROBE-CANDIDATE.png, by their names."
        ),
    ] = None,
    bundle: BundleDir = None,
    threads: Threads = None,
) -> None:
    """Draw why two images are near or far: which bands looked at which, strip distances, activation maps.

    No service is needed: the bundle's models run here, on the CPU. The bundle needs a re-ranker, and the
    parts that `lka-reid export` adds for this.
    """
    from service.startup import clear_errors, settings_from

    target = output or Path(f"explained-{probe.stem}-{candidate.stem}.png")
    if target.suffix.lower() != ".png":
        raise CommandError(f"{target}: the figure is a PNG; choose a name that ends in .png")
    settings = settings_from(bundle=bundle, threads=threads)
    with clear_errors():
        from models.bundle import Bundle
        from models.explanation import check_explainable
        from service.explanation import words
        from service.explanation.figure import Pair, draw, png

        pair = Pair(_decoded(probe), _decoded(candidate), probe.name, candidate.name)
        used = Bundle.load(settings.bundle)
        check_explainable(used)

        from models.explainer import Explainer

        explanation = Explainer(used, settings.threads).explain(pair.probe, pair.candidate)
        target.write_bytes(png(draw(explanation, pair, used.manifest)))
    for what, how_much in words.summary(explanation, used.manifest):
        out.print(f"{what:<18} {how_much}", soft_wrap=True, markup=False)
    out.print(f"{'figure':<18} {target}", soft_wrap=True, markup=False)


def _decoded(path: Path) -> Image.Image:
    """The image.

    Raises:
        CommandError: the file is no usable image.
        OSError: it cannot be read.
    """
    from models.decoding import ImageError, decode

    try:
        return decode(path.read_bytes())
    except ImageError as error:
        raise CommandError(f"{path}: {error}") from None
