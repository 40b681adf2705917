"""The variants of the second stage that are compared, and how one of them is made and measured in a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from models.reranker import RerankerConfig, StripReranker
from training.config.files import ConfigError
from training.config.reranker import HeadTraining, RerankerTraining
from training.evaluation.cross_camera import cross_camera, pooled
from training.evaluation.metrics import REIDENTIFICATION, figures, shown
from training.evaluation.result import RetrievalResult
from training.features.bands import Bands
from training.features.extract import Features
from training.progress import Reporter
from training.reranker.mining import Fold, mine
from training.reranker.selection import FUSIONS, choose_reranker, with_fusion
from training.reranker.strip_head import StripChoice, tokens, train_head
from training.reranker.trainer import RerankerTrainer
from training.signals import StopRequest
from training.studies.cells import CellBands

Mining = Literal["out-of-fold", "augmented", "own"]


CUT = StripChoice()
# As configs/reranker-vehicle-2cam.yaml has it.
ATTENTION = RerankerConfig(heads=1, fusion=1.0, distance="attention", sharpness=20.0)
PLACE = RerankerConfig(fusion=1.0)
UNTRAINED = RerankerTraining(steps=0)
LONGER = RerankerTraining(steps=300, check_every=60)
HEAD = HeadTraining()
PAPER = RerankerTraining(
    candidates=30,
    beta=0.1,
    alpha=0.01,
    scale=1.0,
    learning_rate=1e-5,
    weight_decay=1e-2,
    steps=200,
    check_every=100,
)


@dataclass(frozen=True)
class Variant:
    """One way to make a second stage.

    Attributes:
        name: of the row.
        strips: cut from the bands with a head trained afterwards; None for the embedder's own head.
        shape: of the re-ranker; its fusion takes part in training.
        training: of the re-ranker.
        fusions: to choose from on the inner halves.
        mining: where the training lists come from: halves that their embedder has not seen, changed copies
            of images that it has, or just those images.
        steps: of training, where they are fixed; None for as many as the inner halves' loss says.
        group: the table that the row stands in.
        head: how the head of the strips is trained.
    """

    name: str
    strips: StripChoice | None = None
    shape: RerankerConfig = ATTENTION
    training: RerankerTraining = UNTRAINED
    fusions: tuple[float, ...] = FUSIONS
    mining: Mining = "out-of-fold"
    steps: int | None = None
    group: str = "strips"
    head: HeadTraining = HEAD


OURS = Variant(
    "ours: 4 horizontal strips, L and H, width 256, head trained last, along the attention", CUT, group="ours"
)
VARIANTS = (
    OURS,
    Variant("head trained beside the embedder"),
    Variant("head trained for 100 steps", CUT, head=HeadTraining(steps=100)),
    Variant("6 horizontal", replace(CUT, rows=6)),
    Variant("8 horizontal", replace(CUT, rows=8)),
    Variant("4 vertical", replace(CUT, rows=0, columns=4)),
    Variant("4 horizontal and 4 vertical", replace(CUT, columns=4)),
    Variant("L branches alone", replace(CUT, mixers=("lka",))),
    Variant("H branches alone", replace(CUT, mixers=("hca",))),
    Variant("width 128", replace(CUT, width=128), replace(ATTENTION, strip_width=128)),
    Variant("8 heads", CUT, replace(ATTENTION, heads=8), group="re-ranker"),
    Variant("queries and keys trained, 120 steps", CUT, training=RerankerTraining(), group="re-ranker"),
    Variant("without the first stage's similarity", CUT, fusions=(0.0,), group="re-ranker"),
    Variant("CarGait's distance, not trained", CUT, PLACE, group="re-ranker"),
    Variant("CarGait's distance, not trained, 6 horizontal", replace(CUT, rows=6), PLACE, group="re-ranker"),
    Variant("CarGait's distance, trained, 120 steps", CUT, PLACE, RerankerTraining(), group="re-ranker"),
    Variant(
        "the same, a projection for each direction",
        CUT,
        replace(PLACE, shared=False),
        RerankerTraining(),
        group="re-ranker",
    ),
    Variant("CarGait's setting, 200 steps", CUT, RerankerConfig(), PAPER, (0.0,), group="re-ranker"),
    Variant("queries and keys trained, 300 steps", CUT, training=LONGER, group="selection"),
    Variant(
        "the same, channels selected", CUT, replace(ATTENTION, selection=True), LONGER, group="selection"
    ),
    Variant("CarGait's distance, trained, 300 steps", CUT, PLACE, LONGER, group="selection"),
    Variant(
        "CarGait's distance, the same, channels selected",
        CUT,
        replace(PLACE, selection=True),
        LONGER,
        group="selection",
    ),
    Variant(
        "CarGait's distance, lists of unseen images (out-of-fold)",
        CUT,
        PLACE,
        RerankerTraining(),
        steps=120,
        group="mining",
    ),
    Variant(
        "the same, lists of changed copies of seen images",
        CUT,
        PLACE,
        RerankerTraining(),
        mining="augmented",
        steps=120,
        group="mining",
    ),
    Variant(
        "the same, lists of seen images (leaks)",
        CUT,
        PLACE,
        RerankerTraining(),
        mining="own",
        steps=120,
        group="mining",
    ),
)


def select(groups: Sequence[str], names: Sequence[str]) -> list[Variant]:
    """Ours, and the variants of these groups whose name holds one of these parts (any, where there are none).

    Raises:
        ConfigError: no variant's name holds one of them; the message lists the names there are.
    """
    known = [variant for variant in VARIANTS if variant.group in groups]
    for name in names:
        if not any(name in variant.name for variant in known):
            listed = "\n".join(f"  {variant.name}" for variant in known)
            raise ConfigError(f"no variant has {name!r} in its name; there are:\n{listed}")
    wanted = [v for v in known if not names or any(name in v.name for name in names)]
    return [OURS, *wanted]


@dataclass(frozen=True)
class Outcome:
    """A variant measured in a cell.

    Attributes:
        first: figures of the first stage on the test vehicles.
        both: of both stages.
        ranks: of the first correct match of each query, from 1; 0 for none: by the first stage, by both.
        choice: what was chosen on the inner halves.
        mistaken: share of the training lists whose first match is wrong: what there is to learn from.
        model: the re-ranker.
        test: features with its strips.
    """

    first: dict[str, float]
    both: dict[str, float]
    ranks: tuple[list[int], list[int]]
    choice: dict[str, Any]
    mistaken: float
    model: StripReranker
    test: Features


class Strips:
    """The strips of a cell for one choice of strips, each embedder with its own head."""

    def __init__(self, cell: CellBands, choice: StripChoice | None, config: HeadTraining) -> None:
        self.test = self._of([cell.test], cell.seen, choice, config)[0]
        self.seen = self._of(cell.seen, cell.seen, choice, config)
        self.unseen = [self._of(half.unseen, half.seen, choice, config) for half in cell.inner]

    @staticmethod
    def _of(
        wanted: list[Bands], seen: list[Bands], choice: StripChoice | None, config: HeadTraining
    ) -> list[Features]:
        if choice is None:
            return [view.features(_own(view)) for view in wanted]
        head = train_head(choice, seen, config)
        return [view.features(tokens(head, choice, view)) for view in wanted]


def _own(view: Bands) -> torch.Tensor:
    if view.joint is None:
        raise ValueError("the embedder has no strips of its own; set network.strips")
    return view.joint


def measure(
    strips: Strips, variant: Variant, seed: int, reporter: Reporter, stop: StopRequest | None = None
) -> Outcome:
    """Choose, train and measure a variant in a cell.

    How long to train and the fusion are chosen by leaving out one inner half after the other; the test
    vehicles are looked at once, at the end.

    Args:
        strips: of the cell, for the variant's choice of strips.
        variant: to measure.
        seed: of the re-ranker.
        reporter: receives the events.
        stop: checked after every step.
    """
    config = replace(variant.training, seed=seed)
    halves = [[_fold(view, config) for view in half] for half in strips.unseen]
    choice = choose_reranker(halves, variant.shape, config, reporter, variant.fusions, stop)
    flat = [view for half in halves for view in half]
    lists = {"out-of-fold": flat, "augmented": [], "own": []}
    if variant.mining == "augmented":
        lists["augmented"] = [_fold(view, config) for view in strips.seen[1:]]
    if variant.mining == "own":
        lists["own"] = [_fold(strips.seen[0], config)]
    chosen = lists[variant.mining]
    reporter.part(variant.name)
    # Other lists are trained on for as long as the inner halves say: their own losses could not be compared.
    trainer = RerankerTrainer(
        chosen,
        [],
        variant.shape,
        config,
        steps=choice.steps if variant.steps is None else variant.steps,
        observers=[reporter],
        stop=stop,
    )
    model = with_fusion(trainer.run(), choice.fusion)
    first, both = (pooled(cross_camera(strips.test, second)) for second in (None, model))
    return Outcome(
        _figures(first),
        _figures(both),
        (first.first.tolist(), both.first.tolist()),
        choice.to_dict(),
        _mistaken(chosen),
        model,
        strips.test,
    )


def _figures(result: RetrievalResult) -> dict[str, float]:
    return {"queries": len(result.answerable().queries), **figures([result], shown(REIDENTIFICATION))}


def _fold(features: Features, config: RerankerTraining) -> Fold:
    return Fold(features, mine(features, config.candidates))


def _mistaken(folds: list[Fold]) -> float:
    """Share of the lists whose first match is wrong: what there is to learn from."""
    return float(np.mean(np.concatenate([~fold.lists.correct[:, 0] for fold in folds])))
