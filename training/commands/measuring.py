"""What the commands that measure a bundle have in common: their data, and the bundle run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.bundle import DEFAULT_BUNDLE
from training.commands.running import EMBEDDER_CONFIG
from training.datasets.layouts import LAYOUT_NAMES

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.runtime import Models
    from training.commands.progress import Bars
    from training.datasets.dataset import Dataset
    from training.evaluation.shift.conditions import Kind
    from training.evaluation.shift.embedding import KeptEmbedder

BundleFolder = Annotated[
    Path, typer.Option("--bundle", help="The bundle to measure.", show_default="the default one")
]
Data = Annotated[
    Path, typer.Option("--data", help="The data set's folder, or its CSV manifest.", show_default=False)
]
DataLayout = Annotated[
    str, typer.Option("--layout", metavar="NAME", help=f"How the data set lies on disk: {LAYOUT_NAMES}.")
]
TwoCameras = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Vehicles before two cameras, for instance vehicle-2cam.", show_default=False
    ),
]
Synthetic = Annotated[
    Path | None, typer.Option("--synthetic", help="The data set synthetic-vehicles.", show_default=False)
]
Features = Annotated[
    Path | None,
    typer.Option(
        help="Where descriptors are kept; those of `evaluate-shift` are used again.",
        show_default="OUT/features",
    ),
]
Runtime = Annotated[str, typer.Option(help="auto, cuda or cpu.")]
MeasuredBy = Annotated[
    Path,
    typer.Option(
        "--config", help="Says which vehicles of --data are measured.", show_default=EMBEDDER_CONFIG.name
    ),
]
BUNDLE = DEFAULT_BUNDLE


def open_both(bundle: Path, data: Path, layout: str, runtime: str) -> tuple[Models, Dataset]:
    """Read the data set, then load the bundle.

    Raises:
        DatasetError: see `open_dataset`.
        BundleError, RuntimeNotAvailableError: the bundle or the runtime cannot be used.
    """
    from models.bundle import Bundle
    from models.runtime import Models
    from training.datasets.layouts import open_dataset

    dataset = open_dataset(data, layout)
    return Models.load(Bundle.load(bundle), runtime), dataset


def kept_embedder(models: Models, bundle: Bundle, folder: Path, progress: Bars) -> KeptEmbedder:
    """A bundle's embedder that keeps in `folder` what it has made; with strips where the bundle has them."""
    from training.evaluation.shift.embedding import KeptEmbedder

    identity = f"{bundle.fingerprint}/{models.runtime}"
    return KeptEmbedder(models.embedder, identity, folder, progress, strips=models.reranker is not None)


def kinds_of(only: str | None) -> list[Kind]:
    """The kinds of conditions that a text with commas names; all that go unasked where it is None.

    Raises:
        BadParameter: a kind that is not there.
    """
    from training.evaluation.shift.conditions import UNASKED, Kind

    names = [name.strip() for name in only.split(",")] if only else list(UNASKED)
    unknown = [name for name in names if name not in list(Kind)]
    if unknown:
        raise typer.BadParameter(f"--only {unknown[0]}: there are {', '.join(Kind)}")
    return [Kind(name) for name in names]
