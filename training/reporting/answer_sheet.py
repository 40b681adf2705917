"""A sheet of ranked matches: probes with the ranking of one and of both stages, correct matches marked."""

from __future__ import annotations

from collections.abc import Sequence
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
from training.datasets.layouts import open_dataset
from training.evaluation.ranking import reorder_first
from training.reporting.provenance import title_of

SHOWN = 5
CORRECT, WRONG, PROBE = "#1a9850", "#b0b0b0", "#2166ac"


@dataclass(frozen=True)
class RankedProbe:
    """A probe and its two rankings.

    Attributes:
        probe: its file.
        first: gallery positions as the first stage ranks them.
        both: gallery positions after the second stage.
        correct: gallery positions of the probe's vehicle.
    """

    probe: Path
    first: NDArray[np.intp]
    both: NDArray[np.intp]
    correct: NDArray[np.intp]

    def ranks(self) -> tuple[int, int]:
        """Rank of the first correct match before and after the second stage, from 1."""
        before, after = (int(np.isin(order, self.correct).argmax()) + 1 for order in (self.first, self.both))
        return before, after


def rank_all(
    models: Models, manifest: Path, among: Path | None = None
) -> tuple[list[RankedProbe], list[Path]]:
    """Search for the probes of a manifest.

    Args:
        models: with a re-ranker.
        manifest: CSV with path, vehicle_id and role (gallery, and probe or query). Without roles, and for a
            folder or another layout of a data set, each image is searched for among those of other cameras.
        among: a data set whose vehicles join the gallery. Then every image of `manifest` is a probe, and is
            searched for among the images of other cameras (`camera_id`).

    Returns:
        The rankings, and the gallery's files by position.

    Raises:
        DatasetError: see `open_dataset`.
    """
    dataset = open_dataset(manifest)
    gallery = probes = dataset.images()
    across = not (manifest.is_file() and dataset.has_split and dataset.tasks)
    if not across:
        gallery, probes = dataset.tasks[0].gallery or [], dataset.tasks[0].queries
    if among is not None:
        across = True
        gallery = probes = [*gallery, *probes] if gallery is not probes else gallery
        known = {image.vehicle_id for image in probes}
        others = open_dataset(among).images()
        gallery = [*gallery, *(image for image in others if image.vehicle_id not in known)]
    vehicles = np.array([image.vehicle_id for image in gallery])
    cameras = np.array([image.camera_or_own for image in gallery])
    embedded = _embed(models, [image.path for image in gallery])
    rankings = []
    for image in probes:
        probe = _embed(models, [image.path])
        similarities = embedded.descriptors @ probe.descriptors[0]
        allowed = np.flatnonzero(cameras != image.camera_or_own) if across else np.arange(len(gallery))
        first = allowed[np.argsort(-similarities[allowed], kind="stable")]
        correct = np.intersect1d(allowed, np.flatnonzero(vehicles == image.vehicle_id))
        both = _rerank(models, probe, embedded, first, similarities)
        rankings.append(RankedProbe(image.path, first, both, correct))
    return rankings, [image.path for image in gallery]


def _embed(models: Models, paths: Sequence[Path]) -> Embeddings:
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
    gallery: Embeddings,
    first: NDArray[np.intp],
    similarities: NDArray[np.float32],
) -> NDArray[np.intp]:
    if models.reranker is None or probe.strips is None or gallery.strips is None:
        return first
    top = first[: models.reranker.candidates]
    distances = models.reranker.distances(probe.strips, gallery.strips[top][None], similarities[top][None])[0]
    return reorder_first(first, distances)


def draw(rankings: Sequence[RankedProbe], gallery: Sequence[Path], out: Path, title: str = "") -> None:
    """Draw rankings below each other, a title above them, and write a PNG."""
    mpl.use("Agg")
    figure = Figure(figsize=(2 * SHOWN + 4, 1.75 * len(rankings) + 0.5), dpi=110)
    columns = 2 * SHOWN + 2
    grid = figure.add_gridspec(
        len(rankings),
        columns,
        width_ratios=[1.15, *[1] * SHOWN, 0.25, *[1] * SHOWN],
        wspace=0.08,
        hspace=0.25,
    )
    for line, ranking in enumerate(rankings):
        axes = [figure.add_subplot(grid[line, column]) for column in range(columns) if column != SHOWN + 1]
        show_image(axes[0], ranking.probe, "probe" if line == 0 else "", PROBE, "")
        for order, name, start in (
            (ranking.first, "first stage", 1),
            (ranking.both, "both stages", 1 + SHOWN),
        ):
            for place, position in enumerate(order[:SHOWN]):
                correct = position in ranking.correct
                show_image(
                    axes[start + place],
                    gallery[position],
                    name if line == 0 and place == 0 else "",
                    CORRECT if correct else WRONG,
                    f"{place + 1}{' ✓' if correct else ''}",
                )
    if title:
        above_images(figure, title)
    figure.savefig(out, bbox_inches="tight", facecolor="white")


def above_images(figure: Figure, title: str) -> None:
    """A title at the top left of a sheet of images, clear of what stands above the first of them."""
    top = figure.subplotpars.top + 0.4 / figure.get_figheight()
    figure.suptitle(title, fontsize=10, x=figure.subplotpars.left, y=top, ha="left", va="bottom")


def show_image(axes: Axes, path: Path, title: str, colour: str, label: str) -> None:
    """An image in a coloured frame, with a title above and a label below."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    side = max(image.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    axes.imshow(np.asarray(square.resize((160, 160))))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(label, fontsize=9, color="#555555" if colour == WRONG else colour, labelpad=2)


def choose(rankings: Sequence[RankedProbe], count: int) -> list[RankedProbe]:
    """Rankings to show: won by the second stage, one lost by it, one wrong in both, then the first ones."""

    def kind(ranking: RankedProbe) -> int:
        before, after = ranking.ranks()
        if before > 1 and after == 1:
            return 0
        return 1 if before == 1 and after > 1 else 2 if after > 1 else 3

    by_kind = [[ranking for ranking in rankings if kind(ranking) == k] for k in range(4)]
    chosen = by_kind[0][: max(1, count - 3)] + by_kind[1][:1] + by_kind[2][:1]
    return (chosen + by_kind[3])[:count]


def make_answer_sheet(
    bundle: Path, manifest: Path, out: Path, *, among: Path | None = None, count: int = 5
) -> dict[str, int]:
    """Search for all probes of a manifest and draw `count` of them (`rank_all`, `choose`).

    Returns:
        How many queries there were, and how many of them each stage gets wrong.
    """
    models = Models.load(Bundle.load(bundle))
    rankings, gallery = rank_all(models, manifest, among)
    data = (among or manifest).resolve()
    name = data.parent.name if data.is_file() else data.name
    draw(choose(rankings, count), gallery, out, title_of(models.bundle.manifest.name, name))
    ranks = [ranking.ranks() for ranking in rankings]
    return {
        "queries": len(ranks),
        "first stage wrong": sum(before > 1 for before, _ in ranks),
        "both stages wrong": sum(after > 1 for _, after in ranks),
    }
