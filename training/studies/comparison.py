"""Our second stage beside its peers: the same first answers, settings chosen on other vehicles."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.reranker import CANDIDATES, RerankerConfig, StripReranker
from training.checkpoints.weights import load_reranker
from training.evaluation.accuracy import rank_gallery
from training.evaluation.cross_camera import Direction, directions
from training.evaluation.rerank import rerank
from training.features.extract import Features
from training.features.store import open_features
from training.reranker.selection import FUSIONS
from training.studies.baselines import PEERS, Collection, Peer

FIRST = "first stage"
OURS = f"strip cross-attention, first {CANDIDATES}"
PLACE = "the same strips place by place (CarGait's distance, untrained)"
VALIDATION = "validation"
TEST = "test"
RERANKER = "reranker.safetensors"


class ComparisonError(ValueError):
    """A cell that cannot be measured."""


@dataclass(frozen=True)
class Cell:
    """One fold and seed in a folder: `validation/` and `test/` (features), and `reranker.safetensors`.

    Attributes:
        folder: its path holds `fold-<number>` and `seed-<number>`, for instance `fold-0-seed-1`.
        fold: identity fold.
        seed: of the trainings.
    """

    folder: Path
    fold: int
    seed: int

    @classmethod
    def at(cls, folder: Path) -> Cell:
        """The cell in a folder.

        Raises:
            ComparisonError: its name and its parent's do not tell fold and seed, or a part is missing.
        """
        resolved = folder.resolve()
        name = f"{resolved.parent.name}/{resolved.name}"
        found = [re.findall(rf"{word}-(\d+)", name) for word in ("fold", "seed")]
        if not all(found):
            raise ComparisonError(f"{folder}: a cell is called like fold-0-seed-1 or seed-1/fold-0")
        for part in (VALIDATION, TEST, RERANKER):
            if not (folder / part).exists():
                raise ComparisonError(f"{folder}: has no {part}")
        return cls(folder, int(found[0][-1]), int(found[1][-1]))

    @property
    def name(self) -> str:
        """As files are called."""
        return f"fold-{self.fold}-seed-{self.seed}"

    def features(self, part: str) -> Features:
        """Of `validation` or `test`, in memory.

        Raises:
            FeatureStoreError: see `open_features`.
        """
        kept = open_features(self.folder / part)
        strips = None if kept.strips is None else np.array(kept.strips, dtype=np.float32)
        return Features(kept.images, np.array(kept.descriptors), strips)

    def reranker(self) -> StripReranker:
        """The second stage.

        Raises:
            CheckpointError: the file is none.
        """
        return load_reranker(self.folder / RERANKER)


def first_stage(features: Features) -> list[Direction]:
    """Who asks whom, ranked by cosine.

    Each camera's images ask those of all others. Where no camera is known, each image asks all other images:
    one direction, whose queries are its gallery, with rankings `[N, N - 1]`.

    Raises:
        ComparisonError: only some cameras are known, there is only one, or fewer than two images.
    """
    cameras = set(features.cameras.tolist())
    if cameras == {""} and len(features.images) > 1:
        ranking = rank_gallery(features.descriptors @ features.descriptors.T)
        others = np.stack([order[order != own] for own, order in enumerate(ranking)])
        return [Direction(features, features, others)]
    if "" in cameras or len(cameras) < 2:
        raise ComparisonError(f"images need two cameras, or none known at all; there are {sorted(cameras)}")
    return directions(features)


def leave_one_out(direction: Direction) -> bool:
    """Whether each query's gallery is all others."""
    return direction.queries is direction.gallery


class Lists:
    """The first stage's answers on some features, to be re-ranked by several."""

    def __init__(self, features: Features) -> None:
        self.first = first_stage(features)
        self._galleries = [Collection(direction.gallery.descriptors) for direction in self.first]

    def by_peer(self, peer: Peer) -> list[Direction]:
        """Re-ranked by a peer."""
        found = []
        for direction, gallery in zip(self.first, self._galleries, strict=True):
            if leave_one_out(direction):
                ranking = peer.rank_others(gallery)
            else:
                ranking = peer.rank(direction.queries.descriptors, gallery)
            found.append(replace(direction, ranking=ranking))
        return found

    def by_strips(self, model: StripReranker) -> list[Direction]:
        """The first answers re-ranked by our second stage."""
        return [
            replace(d, ranking=rerank(model, d.queries, d.gallery, d.ranking, CANDIDATES)) for d in self.first
        ]


@dataclass(frozen=True)
class Outcome:
    """How each query that has a right answer went.

    Attributes:
        precision: `[Q]` average precision, 0..1.
        first: `[Q]` rank of the first right answer, from 1.
        vehicles: `[Q]`.
    """

    precision: NDArray[np.float64]
    first: NDArray[np.intp]
    vehicles: NDArray[np.str_]

    @classmethod
    def of(cls, found: Sequence[Direction]) -> Outcome:
        """Over the queries of all directions.

        Raises:
            ComparisonError: none has a right answer.
        """
        precision, first, vehicles = [], [], []
        for direction in found:
            asked = direction.queries.vehicles
            right = direction.gallery.vehicles[direction.ranking] == asked[:, None]
            for row, vehicle in zip(right, asked, strict=True):
                places = np.flatnonzero(row) + 1
                if len(places):
                    precision.append(float(np.mean(np.arange(1, len(places) + 1) / places)))
                    first.append(int(places[0]))
                    vehicles.append(vehicle)
        if not first:
            raise ComparisonError("no query has a right answer in the gallery")
        return cls(np.array(precision), np.array(first), np.array(vehicles))

    def figures(self) -> dict[str, float]:
        """In percent."""
        recall = {f"R{k}": 100 * float(np.mean(self.first <= k)) for k in (1, 5)}
        return {"mAP": 100 * float(self.precision.mean()), **recall}


@dataclass(frozen=True)
class Chosen:
    """A peer with the settings that were best on the validation features.

    Attributes:
        peer: of several equally good ones the first of the grid.
        tried: settings and mAP of the whole grid.
    """

    peer: Peer
    tried: list[dict[str, float]]


def choose(peer: Peer, validation: Lists) -> Chosen:
    """Try a peer's grid on the validation lists; mAP decides."""
    grid = peer.grid()
    accuracy = [Outcome.of(validation.by_peer(one)).figures()["mAP"] for one in grid]
    tried = [{**one.settings, "mAP": mean} for one, mean in zip(grid, accuracy, strict=True)]
    return Chosen(grid[int(np.argmax(accuracy))], tried)


def choose_by_place(validation: Lists) -> tuple[StripReranker, list[dict[str, float]]]:
    """The strips' distance place by place (CarGait's, untrained) with the best fusion, and the whole grid."""
    strips = validation.first[0].queries.strips
    if strips is None:
        raise ComparisonError("the cell's features have no strips")
    config = RerankerConfig(strip_width=strips.shape[2])
    models = [StripReranker(replace(config, fusion=fusion)).eval() for fusion in FUSIONS]
    tried = [
        {"fusion": model.config.fusion, "mAP": Outcome.of(validation.by_strips(model)).figures()["mAP"]}
        for model in models
    ]
    return models[int(np.argmax([each["mAP"] for each in tried]))], tried


Clock = Callable[[Cell, Sequence[Peer]], dict[str, float]]
"""A cell and the chosen peers -> milliseconds a probe by name."""


def measure(
    cell: Cell,
    clock: Clock,
    peers: Sequence[Peer] = PEERS,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Choose settings on a cell's validation features, then measure everything on its test features.

    Args:
        cell: what to measure.
        clock: what times the answers to single probes.
        peers: to compare with.
        report: told of each part of the work.

    Returns:
        For JSON: for each method its settings, figures, milliseconds and each query's average precision and
        first right rank; queries are in one order throughout.

    Raises:
        ComparisonError, FeatureStoreError, CheckpointError: the cell cannot be measured.
        ValueError: features without strips.
    """
    validation = Lists(cell.features(VALIDATION))
    chosen = []
    for peer in peers:
        report(f"{cell.name}: choosing settings of {peer.name}")
        chosen.append(choose(peer, validation))
    place, fusions = choose_by_place(validation)
    test = cell.features(TEST)
    lists = Lists(test)
    report(f"{cell.name}: measuring")
    outcomes = {
        FIRST: Outcome.of(lists.first),
        OURS: Outcome.of(lists.by_strips(cell.reranker())),
        PLACE: Outcome.of(lists.by_strips(place)),
    }
    for each in chosen:
        outcomes[each.peer.name] = Outcome.of(lists.by_peer(each.peer))
    report(f"{cell.name}: timing")
    milliseconds = clock(cell, [each.peer for each in chosen if not each.peer.transductive])
    settings = {each.peer.name: each.peer.settings for each in chosen} | {
        PLACE: {"fusion": place.config.fusion}
    }
    tried = {each.peer.name: each.tried for each in chosen} | {PLACE: fusions}
    offline = {each.peer.name: each.peer.offline for each in chosen}
    methods = {}
    for name, outcome in outcomes.items():
        methods[name] = {
            "settings": settings.get(name, {}),
            "offline": offline.get(name, "none"),
            "figures": outcome.figures(),
            "milliseconds": milliseconds.get(name),
            "tried": tried.get(name, []),
            "precision": outcome.precision.tolist(),
            "first_right": outcome.first.tolist(),
        }
    return {
        "fold": cell.fold,
        "seed": cell.seed,
        "protocol": "each against all others" if leave_one_out(lists.first[0]) else "cameras",
        "validation_vehicles": len(set(validation.first[0].queries.vehicles.tolist())),
        "images": len(test.images),
        "vehicles": outcomes[FIRST].vehicles.tolist(),
        "methods": methods,
    }
