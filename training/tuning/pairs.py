"""Pairs of crops that a person says of whether they show one vehicle: which to ask for, and what was said."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import write_file
from models.intake.columns import Columns
from models.intake.names import slash_hint
from models.intake.table import TableError, read_table
from models.runtime import Models
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.descriptors import describe
from training.evaluation.protocol import Progress
from training.evaluation.retrieval import Side, similarity_chunks

COLUMNS = ("first", "second", "same")
YES, NO = ("yes", "1", "true", "y"), ("no", "0", "false", "n")


@dataclass(frozen=True)
class LabelledPair:
    """Two crops, and whether they show one vehicle; None where nobody has said."""

    first: Path
    second: Path
    same: bool | None = None


def pairs_to_ask(
    images: Sequence[VehicleImage], side: Side, threshold: float, count: int
) -> list[LabelledPair]:
    """The pairs of two cameras about which a threshold is least sure: half above it, half below.

    Args:
        images: N of them.
        side: the same, embedded.
        threshold: a similarity.
        count: pairs wanted; an image is in one of them at most.
    """
    found: list[tuple[float, int, int]] = []
    for start, chunk in similarity_chunks(side, side):
        for offset, row in enumerate(chunk):
            number = start + offset
            row[side.cameras == side.cameras[number]] = -np.inf
            row[: number + 1] = -np.inf
            near = np.argsort(np.abs(row - threshold))[:8]
            found += [(float(row[place]), number, int(place)) for place in near if row[place] > -np.inf]
    chosen: list[LabelledPair] = []
    used: set[int] = set()
    wanted = {True: count - count // 2, False: count // 2}
    for similarity, one, other in sorted(found, key=lambda pair: abs(pair[0] - threshold)):
        above = similarity >= threshold
        if wanted[above] and not {one, other} & used:
            wanted[above] -= 1
            used |= {one, other}
            chosen.append(LabelledPair(images[one].path, images[other].path))
    return chosen


def write_pairs(path: Path, pairs: Sequence[LabelledPair]) -> None:
    """Write pairs as CSV, paths relative to it where they lie below; `same` is yes, no or empty."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for pair in pairs:
        said = "" if pair.same is None else YES[0] if pair.same else NO[0]
        rows.writerow([*(_relative(each, path.parent) for each in (pair.first, pair.second)), said])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text.getvalue().encode())


def read_pairs(path: Path) -> list[LabelledPair]:
    """The pairs that somebody has labelled, in a CSV as spreadsheets save it.

    Raises:
        DatasetError: no such file, a column or an image is missing, a label is neither yes nor no, or none
            is labelled.
    """
    try:
        table = read_table(path, Columns(COLUMNS), lenient=True)
    except TableError as error:
        raise DatasetError(str(error)) from None
    if table.faults:
        raise DatasetError(f"{path}, line {table.faults[0].line}: {table.faults[0].reason}")
    found = []
    for row in table.rows:
        said = row.values["same"].lower()
        if not said:
            continue
        if said not in (*YES, *NO):
            raise DatasetError(f"{path}, line {row.line}: same is {row.values['same']!r}; write yes or no")
        images = [path.parent / row.values[name] for name in COLUMNS[:2]]
        for image in images:
            if not image.is_file():
                raise DatasetError(f"{path}, line {row.line}: {image} does not exist{slash_hint(image)}")
        found.append(LabelledPair(images[0], images[1], said in YES))
    if not found:
        raise DatasetError(f"{path}: no pair is labelled; write yes or no in the column same")
    return found


def similarities_of(models: Models, pairs: Sequence[LabelledPair], progress: Progress) -> NDArray[np.float32]:
    """The similarity `[n]` that a bundle finds in each of n pairs, cameras left in."""
    paths = list(dict.fromkeys(path for pair in pairs for path in (pair.first, pair.second)))
    images = [VehicleImage(path, str(path), "") for path in paths]
    found = describe(models.embedder, images, report=progress.start("Embedding labelled pairs", len(images)))
    row = {path: number for number, path in enumerate(paths)}
    first, second = (
        found.descriptors[[row[getattr(pair, side)] for pair in pairs]] for side in ("first", "second")
    )
    similarities: NDArray[np.float32] = np.einsum(
        "nd,nd->n", first.astype(np.float32), second.astype(np.float32)
    )
    return similarities


def _relative(image: Path, folder: Path) -> str:
    image, folder = image.resolve(), folder.resolve()
    return image.relative_to(folder).as_posix() if image.is_relative_to(folder) else str(image)
