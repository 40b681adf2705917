"""Our second stage beside its baselines: the same candidate lists, settings chosen on other vehicles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.reranker import CANDIDATES, RerankerConfig, StripReranker
from training.checkpoints.resume import ResumeError
from training.checkpoints.run_folder import RunFolder
from training.checkpoints.weights import load_reranker
from training.evaluation.cross_camera import cross_camera, pooled, reranked
from training.evaluation.metrics import figures, of_queries
from training.evaluation.ranking import Ranking
from training.export.run import finished_run
from training.features.extract import Features
from training.features.store import open_features
from training.reranker.selection import FUSIONS
from training.studies.baselines import BASELINES, Baseline, Collection

FIRST = "first stage"
OURS = f"strip cross-attention, first {CANDIDATES}"
PLACE = "the same strips place by place (CarGait's distance, untrained)"
VALIDATION = "validation"
TEST = "test"
FEATURES, UNCHANGED = "features", "view-0"
RERANKER = "reranker.safetensors"


class ComparisonError(ValueError):
    """A cell that cannot be measured."""


@dataclass(frozen=True)
class Cell:
    """Features to choose settings by, features to measure on, and `reranker.safetensors`, in a folder.

    A study's cell has them in `validation/` and `test/`. In a run of `lka-reid train reranker` they are those
    that it has learned from, which its embedder knows, and those that it was measured on.

    Attributes:
        folder: of a study's cell, its path holds `fold-<number>` and `seed-<number>`; or of a run.
        fold: identity fold; 0 of a run.
        seed: of the trainings.
        parts: of `VALIDATION` and `TEST` the folders.
    """

    folder: Path
    fold: int
    seed: int
    parts: Mapping[str, str]

    @classmethod
    def at(cls, folder: Path) -> Cell:
        """The cell in a folder.

        Raises:
            ComparisonError: it is neither a study's cell nor a finished run with a second stage.
        """
        resolved = folder.resolve()
        name = f"{resolved.parent.name}/{resolved.name}"
        found = [re.findall(rf"{word}-(\d+)", name) for word in ("fold", "seed")]
        if all(found):
            fold, seed = (int(numbers[-1]) for numbers in found)
            parts = {VALIDATION: VALIDATION, TEST: TEST}
            cell = cls(folder, fold, seed, parts)
        else:
            cell = cls._of_run(finished_run(folder).path)
        for part in (*cell.parts.values(), RERANKER):
            if not (cell.folder / part).exists():
                raise ComparisonError(
                    f"{folder}: has no {part}; give a run of `lka-reid train reranker` or `tune`, or a "
                    "study's cell, called like fold-0-seed-1 or seed-1/fold-0"
                )
        return cell

    @classmethod
    def _of_run(cls, folder: Path) -> Cell:
        run = RunFolder(folder)
        try:
            seed = int(run.read_metrics()["seed"])
        except (ResumeError, KeyError, TypeError, ValueError):
            seed = 0
        learned = "training" if (folder / FEATURES / "training").exists() else "fold-0"
        parts = {VALIDATION: f"{FEATURES}/{learned}/{UNCHANGED}", TEST: f"{FEATURES}/measured/{UNCHANGED}"}
        return cls(folder, 0, seed, parts)

    @property
    def name(self) -> str:
        """As files are called."""
        return f"fold-{self.fold}-seed-{self.seed}"

    @property
    def is_run(self) -> bool:
        """Whether settings are chosen on images that the embedder knows."""
        return self.parts[VALIDATION] != VALIDATION

    def features(self, part: str) -> Features:
        """Of `validation` or `test`, in memory.

        Raises:
            FeatureStoreError: see `open_features`.
        """
        kept = open_features(self.folder / self.parts[part])
        strips = None if kept.strips is None else np.array(kept.strips, dtype=np.float32)
        return Features(kept.images, np.array(kept.descriptors), strips)

    def reranker(self) -> StripReranker:
        """The second stage.

        Raises:
            WeightsError: the file is none.
        """
        return load_reranker(self.folder / RERANKER)


def first_stage(features: Features) -> list[Ranking]:
    """The rankings by cosine: see `cross_camera`.

    Raises:
        ComparisonError: only some cameras are known, there is only one, or fewer than two images.
    """
    cameras = set(features.cameras.tolist())
    if len(features.images) < 2 or (cameras != {""} and ("" in cameras or len(cameras) < 2)):
        raise ComparisonError(f"images need two cameras, or none known at all; there are {sorted(cameras)}")
    return cross_camera(features)


class Lists:
    """The first stage's rankings of some features, to be re-ranked by several."""

    def __init__(self, features: Features) -> None:
        self.first = first_stage(features)
        self._galleries = [Collection(ranking.gallery.descriptors) for ranking in self.first]

    def by_baseline(self, baseline: Baseline) -> list[Ranking]:
        """Re-ranked by a baseline."""
        found = []
        for ranking, gallery in zip(self.first, self._galleries, strict=True):
            if ranking.against_others:
                positions = baseline.rank_others(gallery)
            else:
                positions = baseline.rank(ranking.queries.descriptors, gallery)
            found.append(replace(ranking, positions=positions))
        return found

    def by_strips(self, model: StripReranker) -> list[Ranking]:
        """The first candidates re-ordered by our second stage."""
        return [reranked(ranking, model) for ranking in self.first]


def figures_of(rankings: Sequence[Ranking]) -> dict[str, float]:
    """mAP, R1 and R5 in percent, over the queries of all rankings.

    Raises:
        ComparisonError: no query has a correct match.
    """
    try:
        return figures([pooled(rankings)], ("mAP", "R1", "R5"))
    except ValueError as error:
        raise ComparisonError(str(error)) from None


@dataclass(frozen=True)
class Chosen:
    """A baseline with the settings that were best on the validation features.

    Attributes:
        baseline: of several equally good ones the first of the grid.
        tried: settings and mAP of the whole grid.
    """

    baseline: Baseline
    tried: list[dict[str, float]]


def choose(baseline: Baseline, validation: Lists) -> Chosen:
    """Try a baseline's grid on the validation lists; mAP decides."""
    grid = baseline.grid()
    accuracy = [figures_of(validation.by_baseline(one))["mAP"] for one in grid]
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
        {"fusion": model.config.fusion, "mAP": figures_of(validation.by_strips(model))["mAP"]}
        for model in models
    ]
    return models[int(np.argmax([each["mAP"] for each in tried]))], tried


Clock = Callable[[Cell, Sequence[Baseline]], dict[str, float]]
"""A cell and the chosen baselines -> milliseconds a probe by name."""


def measure(
    cell: Cell,
    clock: Clock,
    baselines: Sequence[Baseline] = BASELINES,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Choose settings on a cell's validation features, then measure everything on its test features.

    Args:
        cell: what to measure.
        clock: what times the rankings for single probes.
        baselines: to compare with.
        report: receives each part of the work.

    Returns:
        For JSON: for each method its settings, figures, milliseconds and each query's average precision and
        rank of its first correct match; queries are in one order throughout.

    Raises:
        ComparisonError, FeatureStoreError, WeightsError: the cell cannot be measured.
        ValueError: features without strips.
    """
    validation = Lists(cell.features(VALIDATION))
    chosen = []
    for baseline in baselines:
        report(f"{cell.name}: choosing settings of {baseline.name}")
        chosen.append(choose(baseline, validation))
    place, fusions = choose_by_place(validation)
    test = cell.features(TEST)
    lists = Lists(test)
    report(f"{cell.name}: measuring")
    rankings = {
        FIRST: lists.first,
        OURS: lists.by_strips(cell.reranker()),
        PLACE: lists.by_strips(place),
        **{each.baseline.name: lists.by_baseline(each.baseline) for each in chosen},
    }
    report(f"{cell.name}: timing")
    milliseconds = clock(cell, [each.baseline for each in chosen if not each.baseline.transductive])
    settings = {each.baseline.name: each.baseline.settings for each in chosen} | {
        PLACE: {"fusion": place.config.fusion}
    }
    tried = {each.baseline.name: each.tried for each in chosen} | {PLACE: fusions}
    offline = {each.baseline.name: each.baseline.offline for each in chosen}
    methods = {}
    for name, found in rankings.items():
        result = pooled(found).answerable()
        methods[name] = {
            "settings": settings.get(name, {}),
            "offline": offline.get(name, "none"),
            "figures": figures_of(found),
            "milliseconds": milliseconds.get(name),
            "tried": tried.get(name, []),
            "precision": of_queries(result, "mAP").tolist(),
            "first_correct": result.first.tolist(),
        }
    return {
        "fold": cell.fold,
        "seed": cell.seed,
        "protocol": "each against all others" if lists.first[0].against_others else "cameras",
        "validation_vehicles": len(set(validation.first[0].queries.vehicles.tolist())),
        "images": len(test.images),
        "vehicles": pooled(lists.first).answerable().vehicles.tolist(),
        "methods": methods,
    }
