"""Which weights of a re-ranker's training are kept, and why these."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import to_jsonable_python

from models.reranker import StripReranker
from training.checkpoints.resume import Snapshots
from training.config.reranker import RerankerExperimentConfig
from training.datasets.image import DatasetError
from training.progress import Progress
from training.reranker.lists import LearningLists
from training.reranker.selection import Choice, choose_reranker, with_fusion
from training.reranker.trainer import Trained
from training.signals import Interruption


class Reporter(Protocol):
    """Who is told how far the work is."""

    def part(self, name: str) -> None:
        """A new part of the work begins."""

    def started(self, steps: int, done: int) -> None:
        """A training begins."""

    def step(self, progress: Progress) -> None:
        """A step has been made."""


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
    reporter: Reporter,
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

    def __init__(self, reporter: Reporter, steps: int, batch: int) -> None:
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


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a file, whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)
