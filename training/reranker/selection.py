"""Which weights of a re-ranker's training are kept: how long it is trained, and the first stage's weight."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from pydantic_core import to_jsonable_python

from models.reranker import RerankerConfig, StripReranker
from training.atomic import write_json
from training.checkpoints.resume import Snapshots
from training.config.reranker import RerankerExperimentConfig, RerankerTraining
from training.datasets.image import DatasetError
from training.evaluation.cross_camera import cross_camera, pooled
from training.evaluation.metrics import figure
from training.progress import Observer, Progress
from training.reranker.lists import LearningLists
from training.reranker.mining import Fold
from training.reranker.trainer import Trained, train_reranker
from training.signals import Interruption

K = TypeVar("K")
FUSIONS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Reporter(Protocol):
    """Who is told how far the work is."""

    def part(self, name: str) -> None:
        """A new part of the work begins."""

    def reranking(self, step: int, loss: float) -> None:
        """The re-ranker has made a step."""


class TrainingReporter(Observer, Protocol):
    """Who is told how far the work is, with the parts of a training."""

    def part(self, name: str) -> None:
        """A new part of the work begins."""


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
            [_reciprocal_rank(views[0], with_fusion(trained.model, fusion)) for fusion in fusions]
        )
        firsts.append(_reciprocal_rank(views[0], None))
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


def _reciprocal_rank(images: Fold, model: StripReranker | None) -> float:
    return figure(pooled(cross_camera(images.features, model)), "MRR")


@dataclass(frozen=True)
class Kept:
    """The re-ranker that is used, and why this one.

    Attributes:
        model: in evaluation mode, on the CPU.
        step: whose weights it has.
        losses: step -> ranking loss on the validation lists.
        choice: steps and fusion found by leaving out folds; None without.
    """

    model: StripReranker
    step: int
    losses: dict[int, float]
    choice: Choice | None

    @classmethod
    def of(cls, trained: Trained, steps: int, choice: Choice | None) -> Kept:
        """What to keep of a training.

        Args:
            trained: with the weights of its lowest validation loss, where there is one.
            steps: of the whole schedule.
            choice: by which it was stopped, or None.
        """
        model = trained.model.cpu()
        if choice is not None:
            return cls(with_fusion(model, choice.fusion), choice.steps, choice.losses, choice)
        losses = trained.losses
        # `train_reranker` takes the last of several equal ones.
        best = max((step for step, loss in losses.items() if loss == min(losses.values())), default=steps)
        return cls(model, best, losses, None)

    def told(self, config: RerankerExperimentConfig) -> dict[str, Any]:
        """For a report, as JSON types."""
        by = config.checkpoint.by
        told: dict[str, Any] = {"by": by, "step": self.step, "validation_losses": self.losses}
        if by == "measured":
            told["note"] = "chosen on the vehicles that are measured: their figures are optimistic"
        if by == "vehicles" and config.lists.mining != "out-of-fold":
            told["note"] = "the embedder was trained on the vehicles that the checkpoint was chosen on"
        if self.choice is not None:
            told |= {
                "fusion": self.choice.fusion,
                "reciprocal_rank_by_fusion": self.choice.reciprocal_ranks,
                "reciprocal_rank_first_stage": self.choice.first_stage,
            }
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain


def choose(
    path: Path,
    lists: LearningLists,
    config: RerankerExperimentConfig,
    snapshots: Snapshots,
    reporter: TrainingReporter,
    interruption: Interruption,
) -> Choice:
    """Steps and fusion, by leaving out one fold after the other.

    Args:
        path: of the JSON file that keeps them, or will.
        lists: to learn from and to look at.
        config: of the training.
        snapshots: whose settings they depend on.
        reporter: told of every step.
        interruption: asked after every step.

    Raises:
        SnapshotError: they are there, found with other settings.
        DatasetError: some cameras are unknown.
        InterruptedRunError: it was asked to stop; all of it is done again.
    """
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        snapshots.require_same(path, kept["settings"])
        found = kept["choice"]
        losses = {int(step): loss for step, loss in found["losses"].items()}
        by_fusion = {float(fusion): value for fusion, value in found["reciprocal_ranks"].items()}
        return Choice(found["steps"], found["fusion"], losses, by_fusion, found["first_stage"])
    if not all(image.camera_id for view in lists.all() for image in view.features.images):
        raise DatasetError(
            "checkpoint.by folds measures each camera's images against the others', and some cameras are "
            "unknown; set it to vehicles"
        )
    training = config.build()
    choice = choose_reranker(
        lists.folds,
        config.shape.build(lists.width),
        training,
        _Choosing(reporter, training.steps, training.batch),
        fusions=config.checkpoint.fusions or (config.shape.fusion,),
        interruption=interruption,
    )
    write_json(path, {"settings": snapshots.settings, "choice": to_jsonable_python(choice)})
    return choice


class _Choosing:
    """Tells a reporter of the trainings by which steps and fusion are chosen."""

    def __init__(self, reporter: TrainingReporter, steps: int, batch: int) -> None:
        self._reporter = reporter
        self._steps = steps
        self._batch = batch

    def part(self, name: str) -> None:
        """A new part of the work begins."""
        self._reporter.part(name)
        self._reporter.started(self._steps, 0)

    def reranking(self, step: int, loss: float) -> None:
        """The re-ranker has made a step."""
        losses = {"training": loss}
        self._reporter.step(Progress(0, step, self._steps, losses, self._batch, unit="lists"))
