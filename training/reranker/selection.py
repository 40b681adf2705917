"""How long to train the re-ranker and how much the first stage has to say, found by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from models.reranker import RerankerConfig, StripReranker
from training.evaluation.cross_camera import directions
from training.reranker.mining import Fold
from training.reranker.trainer import RerankerTraining, train_reranker
from training.signals import Interruption

K = TypeVar("K")
FUSIONS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Reporter(Protocol):
    """Who is told how far the work is."""

    def part(self, name: str) -> None:
        """A new part of the work begins."""

    def reranking(self, step: int, loss: float) -> None:
        """The re-ranker has made a step."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and on what grounds.

    Attributes:
        steps: of training, with the lowest mean validation loss.
        fusion: with the highest mean reciprocal rank on the folds left out; the smallest of several.
        losses: step -> mean ranking loss on the folds left out.
        reciprocal_ranks: fusion -> mean reciprocal rank of the first right answer by both stages on the folds
            left out, in percent. (Not mAP: ten answers re-ordered hardly move it where a query has dozens of
            right ones. Where it has one, the two are the same.)
        first_stage: that of the first stage.
    """

    steps: int
    fusion: float
    losses: dict[int, float]
    reciprocal_ranks: dict[float, float]
    first_stage: float


def choose_reranker(
    folds: Sequence[Sequence[Fold]],
    shape: RerankerConfig,
    config: RerankerTraining,
    reporter: Reporter,
    fusions: Sequence[float] = FUSIONS,
    interruption: Interruption | None = None,
) -> Choice:
    """Leave out one fold after the other, train on the rest, look at the one left out.

    Args:
        folds: the views of each fold, the unchanged images first. Changed images are learned from, but not
            looked at: on them the first stage is so much worse that it would get too little to say.
        shape: of the re-ranker.
        config: of its training.
        reporter: told of every step.
        fusions: weights to choose from.
        interruption: asked after every step; nothing is saved, the choice is soon made again.

    Raises:
        InterruptedRunError: it was asked to stop.
    """
    curves: list[dict[int, float]] = []
    accuracies: list[list[float]] = []
    firsts: list[float] = []
    for left_out, views in enumerate(folds):
        reporter.part(f"re-ranker without fold {left_out}")
        rest = [view for number, fold in enumerate(folds) if number != left_out for view in fold]
        trained = train_reranker(
            rest, views[:1], shape, config, report=reporter.reranking, interruption=interruption
        )
        curves.append(trained.losses)
        accuracies.append(
            [_reciprocal_rank(views[:1], with_fusion(trained.model, fusion)) for fusion in fusions]
        )
        firsts.append(_reciprocal_rank(views[:1], None))
    losses = {step: float(np.mean([curve[step] for curve in curves])) for step in curves[0]}
    by_fusion = dict(zip(fusions, np.mean(accuracies, axis=0).tolist(), strict=True))
    return Choice(
        steps=min(losses, key=_of(losses)),
        fusion=max(by_fusion, key=_of(by_fusion)),
        losses=losses,
        reciprocal_ranks=by_fusion,
        first_stage=float(np.mean(firsts)),
    )


def _of(values: dict[K, float]) -> Callable[[K], float]:
    return lambda key: values[key]


def with_fusion(model: StripReranker, fusion: float) -> StripReranker:
    """The same re-ranker with another weight of the first stage."""
    other = StripReranker(replace(model.config, fusion=fusion)).eval()
    other.to(next(model.parameters()).device)
    other.load_state_dict(model.state_dict())
    return other


def _reciprocal_rank(views: Sequence[Fold], model: StripReranker | None) -> float:
    found = [direction.first_right() for view in views for direction in directions(view.features, model)]
    ranks = np.concatenate(found)
    return float(100 * np.mean(1 / ranks[ranks > 0]))
