"""Which weights of a re-ranker are kept: how long it is trained, and the weight of the first stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from models.reranker import RerankerConfig, StripReranker
from training.checkpoints.resume import kept
from training.config.reranker import RerankerExperimentConfig, RerankerTraining
from training.datasets.image import DatasetError
from training.evaluation.cross_camera import cross_camera, pooled
from training.evaluation.metrics import figure
from training.progress import Reporter
from training.reranker.lists import LearningLists
from training.reranker.mining import Fold
from training.reranker.trainer import RerankerTrainer
from training.signals import StopRequest

K = TypeVar("K")
BATCH = 256
FUSIONS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


@dataclass(frozen=True)
class Choice:
    """What was chosen by leaving out folds, and on what grounds.

    Attributes:
        steps: of training, with the lowest mean validation loss.
        fusion: with the highest mean reciprocal rank on the folds left out; the smallest of several.
        losses: step -> mean ranking loss on the folds left out.
        reciprocal_ranks: fusion -> mean reciprocal rank of the first correct match by both stages on the
            folds left out, in percent. (Not mAP: ten candidates re-ordered hardly move it where a query has
            dozens of correct matches. Where it has one, the two are the same.)
        first_stage: that of the first stage.
    """

    steps: int
    fusion: float
    losses: dict[int, float]
    reciprocal_ranks: dict[float, float]
    first_stage: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "steps": self.steps,
            "fusion": self.fusion,
            "losses": {str(step): loss for step, loss in self.losses.items()},
            "reciprocal_ranks": {str(fusion): rank for fusion, rank in self.reciprocal_ranks.items()},
            "first_stage": self.first_stage,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Choice:
        """What `to_dict` gave."""
        return cls(
            values["steps"],
            values["fusion"],
            {int(step): loss for step, loss in values["losses"].items()},
            {float(fusion): rank for fusion, rank in values["reciprocal_ranks"].items()},
            values["first_stage"],
        )


def choose_reranker(
    folds: Sequence[Sequence[Fold]],
    shape: RerankerConfig,
    config: RerankerTraining,
    reporter: Reporter,
    fusions: Sequence[float] = FUSIONS,
    stop: StopRequest | None = None,
) -> Choice:
    """Leave out one fold after the other, train on the rest, measure on the one left out.

    Args:
        folds: the views of each fold, the unchanged images first. Changed images are learned from, but not
            measured on: there the first stage is so much worse that its weight would come out too small.
        shape: of the re-ranker.
        config: of its training.
        reporter: receives the events of the trainings.
        fusions: weights to choose from.
        stop: checked after every step; nothing is saved, the choice is soon made again.

    Raises:
        StoppedError: it was stopped.
    """
    curves: list[dict[int, float]] = []
    ranks: list[list[float]] = []
    firsts: list[float] = []
    for left_out, views in enumerate(folds):
        reporter.part(f"re-ranker without fold {left_out}")
        rest = [view for number, fold in enumerate(folds) if number != left_out for view in fold]
        trainer = RerankerTrainer(rest, views[:1], shape, config, observers=[reporter], stop=stop)
        model = trainer.run()
        curves.append(trainer.validation_losses)
        ranks.append([_reciprocal_rank(views[0], with_fusion(model, fusion)) for fusion in fusions])
        firsts.append(_reciprocal_rank(views[0], None))
    losses = {step: float(np.mean([curve[step] for curve in curves])) for step in curves[0]}
    by_fusion = dict(zip(fusions, np.mean(ranks, axis=0).tolist(), strict=True))
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


def _rank_in_lists(folds: Sequence[Fold], model: StripReranker, fusion: float) -> float:
    """Mean reciprocal rank of the first correct candidate over lists re-ordered under a fusion."""
    ranked = with_fusion(model, fusion)
    ranks: list[float] = []
    with torch.inference_mode():
        for fold in folds:
            ranked.to(fold.device)
            for start in range(0, len(fold.lists), BATCH):
                chosen = np.arange(start, min(start + BATCH, len(fold.lists)))
                probes, candidates, similarities, correct = fold.batch(chosen)
                order = ranked(probes, candidates, similarities).argsort(dim=1, stable=True)
                place = correct.gather(1, order).float().argmax(dim=1)
                ranks += (1 / (1 + place.float())).tolist()
    return float(np.mean(ranks))


def kept_choice(
    path: Path,
    lists: LearningLists,
    shape: RerankerConfig,
    config: RerankerExperimentConfig,
    settings: dict[str, Any],
    reporter: Reporter,
    stop: StopRequest,
) -> Choice:
    """Steps and fusion chosen by leaving out folds; made once, and kept in a file.

    Args:
        path: of the JSON file.
        lists: to learn from, with their folds.
        shape: of the re-ranker.
        config: of the training.
        settings: what the choice depends on.
        reporter: receives the events of the trainings.
        stop: checked after every step.

    Raises:
        ResumeError: the file holds the choice of other settings.
        DatasetError: some cameras are unknown.
        StoppedError: it was stopped; all of it is done again.
    """

    def make() -> dict[str, Any]:
        if not all(image.camera_id for view in lists.all() for image in view.features.images):
            raise DatasetError(
                "checkpoint.by folds measures each camera's images against the others', and some cameras are "
                "unknown; set it to vehicles"
            )
        return choose_reranker(
            lists.folds,
            shape,
            config.build(),
            reporter,
            config.checkpoint.fusions or (config.shape.fusion,),
            stop,
        ).to_dict()

    return Choice.from_dict(kept(path, settings, make))


@dataclass(frozen=True)
class Selection:
    """The re-ranker that is used, and why this one.

    Attributes:
        model: in evaluation mode, on the CPU.
        step: whose weights it has.
        losses: step -> ranking loss on the validation lists.
        choice: steps and fusion found by leaving out folds; None without.
        by_fusion: without a choice, fusion -> mean reciprocal rank on the validation lists.
    """

    model: StripReranker
    step: int
    losses: dict[int, float]
    choice: Choice | None
    by_fusion: dict[float, float] = field(default_factory=dict)

    @classmethod
    def of(cls, trainer: RerankerTrainer, choice: Choice | None, fusions: Sequence[float] = ()) -> Selection:
        """What to keep of a finished training.

        Args:
            trainer: its result has the weights of the lowest validation loss, where there is one.
            choice: of its steps and fusion, or None.
            fusions: without a choice, weights of the first stage to choose from on the validation lists; the
                first one stands where several are equal.
        """
        model = trainer.result.cpu()
        if choice is not None:
            return cls(with_fusion(model, choice.fusion), choice.steps, choice.losses, choice)
        by_fusion = {fusion: _rank_in_lists(trainer.validation, model, fusion) for fusion in fusions}
        if by_fusion:
            model = with_fusion(model, max(by_fusion, key=_of(by_fusion)))
        losses = trainer.validation_losses
        # The trainer keeps the last of several equal ones.
        lowest = [step for step, loss in losses.items() if loss == min(losses.values())]
        return cls(model, max(lowest, default=trainer.steps), losses, None, by_fusion)

    def to_dict(self, config: RerankerExperimentConfig) -> dict[str, Any]:
        """For a report, as plain JSON types."""
        by = config.checkpoint.by
        losses = {str(step): loss for step, loss in self.losses.items()}
        found: dict[str, Any] = {"by": by, "step": self.step, "validation_losses": losses}
        if by == "measured":
            found["note"] = "chosen on the vehicles that are measured: their figures are optimistic"
        if by == "vehicles" and config.lists.mining != "out-of-fold":
            found["note"] = "the embedder was trained on the vehicles that the checkpoint was chosen on"
        if self.by_fusion:
            found |= {
                "fusion": self.model.config.fusion,
                "reciprocal_rank_by_fusion": {f"{key:g}": rank for key, rank in self.by_fusion.items()},
            }
        if self.choice is not None:
            choice = self.choice.to_dict()
            found |= {
                "fusion": choice["fusion"],
                "reciprocal_rank_by_fusion": choice["reciprocal_ranks"],
                "reciprocal_rank_first_stage": choice["first_stage"],
            }
        return found
