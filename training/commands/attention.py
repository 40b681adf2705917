"""`lka-reid study-attention`."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import err
from training.commands.progress import bars
from training.commands.running import Changes, DataSet, Json, ending, notes_of, publish_figures

if TYPE_CHECKING:
    from training.datasets.image import VehicleImage

ENDINGS = (".png", ".webp")


def study_attention(
    data: DataSet,
    config: Annotated[
        Path,
        typer.Option(
            help="Of the embedders; says which vehicles of --data are measured.", show_default=False
        ),
    ],
    embedders: Annotated[
        list[str],
        typer.Option(
            "--embedders",
            metavar="NAME=FILES",
            help="Embedders that were trained alike, seed by seed: a name, and their files, in which * "
            "stands for anything (those of `lka-reid sweep`, for instance); to be repeated.",
            show_default=False,
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(help="File name of the measured image to draw.", show_default="the first one"),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Image file to draw to (.png, .webp).", show_default="OUT/attention.png"),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Gets table.md and attention.json.")] = Path(
        "runs/attention"
    ),
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Measure and draw where an embedder's branches look on vehicles that are partly hidden.

    Each measured image is looked at uncovered and with 20, 40, 60 and 80 % of it hidden, as *occluded* of
    `lka-reid evaluate-shift`. The table says how much of a branch's attention, and of its last map, lies on
    what hides the vehicle, and how much lay on the same place before; the figure shows one image.
    """
    import torch

    from training.config.files import load_config
    from training.datasets.layouts import open_dataset
    from training.reporting.attention_figure import draw
    from training.studies.occluded_attention import lines, measure, tables

    with ending(writes=[folder, *([] if figure is None else [figure])]):
        files = dict(map(_named, embedders))
        if len(files) < len(embedders):
            raise typer.BadParameter("two --embedders have the same name")
        target = figure or folder / "attention.png"
        if target.suffix not in ENDINGS:
            raise typer.BadParameter(f"--figure {target}: ends with {' or '.join(ENDINGS)}")
        chosen = load_config(config, changes or [])
        (part,) = chosen.data.parts(open_dataset(data, chosen.data.layout), 1)
        images = part.task.images()
        drawn = _chosen(images, image)
        with bars() as progress:
            outcomes = measure(files, chosen.spec, images, progress)
        target.parent.mkdir(parents=True, exist_ok=True)
        draw(lines(files, chosen.spec, drawn), target)
    counts = ", ".join(f"{name}: {len(found)}" for name, found in files.items())
    notes = [
        f"{len(images)} images of {data.stem} that were not learned from; embedders: {counts}; "
        "mean ± standard deviation over them; 'an even map': the share of the image that is hidden",
        f"figure: {drawn.path.name}, the first file of each",
        *notes_of(torch.device("cpu")),
    ]
    publish_figures(
        tables(outcomes),
        notes,
        {"outcomes": [outcome.as_json() for outcome in outcomes], "notes": notes},
        folder / "table.md",
        folder / "attention.json",
        as_json=as_json,
    )
    if not as_json:
        err.print(f"figure   {target}", soft_wrap=True, markup=False)


def _named(text: str) -> tuple[str, list[Path]]:
    """A name and the files that its pattern finds.

    Raises:
        BadParameter: there is no name, or no such file.
    """
    name, _, pattern = text.partition("=")
    found = sorted(map(Path, glob(pattern)))  # noqa: PTH207
    if not name or not pattern:
        raise typer.BadParameter(
            f"--embedders {text}: give a name and files, for instance plain=runs/*.safetensors"
        )
    if not found:
        raise typer.BadParameter(f"--embedders {text}: there is no such file")
    return name, found


def _chosen(images: list[VehicleImage], name: str | None) -> VehicleImage:
    """The image of this file name, or the first one.

    Raises:
        BadParameter: none of the measured images has it.
    """
    for each in images:
        if name in (None, each.path.name):
            return each
    raise typer.BadParameter(f"--image {name}: none of the measured images is called so")
