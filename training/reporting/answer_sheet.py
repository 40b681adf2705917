"""A picture of ranked answers: the probe and the order of one and of both stages, the right ones marked."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from models.bundle import Bundle
from models.decoding import decode
from models.preprocessing import prepare
from models.runtime import Embeddings, Models

SHOWN = 5
RIGHT, WRONG, PROBE = "#1a9850", "#b0b0b0", "#2166ac"


@dataclass(frozen=True)
class Answer:
    """One probe's answer.

    Attributes:
        probe: its picture.
        first: gallery positions in the first stage's order.
        both: gallery positions after the second stage.
        right: gallery positions of the probe's vehicle.
    """

    probe: Path
    first: NDArray[np.intp]
    both: NDArray[np.intp]
    right: NDArray[np.intp]

    def ranks(self) -> tuple[int, int]:
        """Rank of the first right answer before and after the second stage, from 1."""
        before, after = (int(np.isin(order, self.right).argmax()) + 1 for order in (self.first, self.both))
        return before, after


def answer_all(models: Models, manifest: Path) -> tuple[list[Answer], list[Path]]:
    """Query a demo manifest's gallery with each of its probes.

    Args:
        models: with a re-ranker.
        manifest: CSV with path, vehicle_id and role (gallery or probe).

    Returns:
        The answers, and the gallery's pictures by position.
    """
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    gallery = [row for row in rows if row["role"] == "gallery"]
    vehicles = np.array([row["vehicle_id"] for row in gallery])
    known = _embed(models, [manifest.parent / row["path"] for row in gallery])
    answers = []
    for row in rows:
        if row["role"] != "probe":
            continue
        path = manifest.parent / row["path"]
        probe = _embed(models, [path])
        similarities = known.descriptors @ probe.descriptors[0]
        first = np.argsort(-similarities, kind="stable")
        answers.append(
            Answer(
                path,
                first,
                _rerank(models, probe, known, first, similarities),
                np.flatnonzero(vehicles == row["vehicle_id"]),
            )
        )
    return answers, [manifest.parent / row["path"] for row in gallery]


def _embed(models: Models, paths: list[Path]) -> Embeddings:
    parts = []
    for path in paths:
        image = prepare(decode(path.read_bytes()), models.embedder.input)
        parts.append(models.embedder.embed(image[None]))
    strips = [part.strips for part in parts if part.strips is not None]
    return Embeddings(
        np.concatenate([part.descriptors for part in parts]), np.concatenate(strips) if strips else None
    )


def _rerank(
    models: Models,
    probe: Embeddings,
    known: Embeddings,
    first: NDArray[np.intp],
    similarities: NDArray[np.float32],
) -> NDArray[np.intp]:
    if models.reranker is None or probe.strips is None or known.strips is None:
        return first
    top = first[: models.reranker.candidates]
    distances = models.reranker.distances(probe.strips, known.strips[top][None], similarities[top][None])[0]
    return np.concatenate((top[np.argsort(distances, kind="stable")], first[len(top) :]))


def draw(answers: list[Answer], gallery: list[Path], out: Path) -> None:
    """Draw some answers below each other and write a PNG."""
    mpl.use("Agg")
    figure = Figure(figsize=(2 * SHOWN + 4, 1.75 * len(answers) + 0.5), dpi=110)
    columns = 2 * SHOWN + 2
    grid = figure.add_gridspec(
        len(answers), columns, width_ratios=[1.15, *[1] * SHOWN, 0.25, *[1] * SHOWN], wspace=0.08, hspace=0.25
    )
    for line, answer in enumerate(answers):
        axes = [figure.add_subplot(grid[line, column]) for column in range(columns) if column != SHOWN + 1]
        show_picture(axes[0], answer.probe, "probe" if line == 0 else "", PROBE, "")
        for order, name, start in ((answer.first, "first stage", 1), (answer.both, "both stages", 1 + SHOWN)):
            for place in range(SHOWN):
                position = order[place]
                right = position in answer.right
                title = name if line == 0 and place == 0 else ""
                show_picture(
                    axes[start + place],
                    gallery[position],
                    title,
                    RIGHT if right else WRONG,
                    f"{place + 1}{' ✓' if right else ''}",
                )
    figure.savefig(out, bbox_inches="tight", facecolor="white")


def show_picture(axes: Axes, path: Path, title: str, colour: str, label: str) -> None:
    """A picture in a coloured frame, with a title above and a label below."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    side = max(picture.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    axes.imshow(np.asarray(square.resize((160, 160))))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(label, fontsize=9, color=colour, labelpad=2)


def choose(answers: list[Answer], count: int) -> list[Answer]:
    """Answers worth looking at: won by the second stage, lost by it, wrong in both, then the first ones."""

    def kind(answer: Answer) -> int:
        before, after = answer.ranks()
        if before > 1 and after == 1:
            return 0
        return 1 if before == 1 and after > 1 else 2 if after > 1 else 3

    by_kind = [[answer for answer in answers if kind(answer) == k] for k in range(4)]
    chosen = by_kind[0][: max(1, count - 3)] + by_kind[1][:1] + by_kind[2][:1]
    return (chosen + by_kind[3])[:count]


def make_answer_sheet(bundle: Path, manifest: Path, out: Path, count: int = 5) -> None:
    """Answer all probes of a demo manifest and draw the telling ones."""
    answers, gallery = answer_all(Models.load(Bundle.load(bundle)), manifest)
    draw(choose(answers, count), gallery, out)
