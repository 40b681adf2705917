"""Training the re-ranker on the candidate lists of a frozen embedder (CarGait, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.reranker import RerankerConfig, StripReranker, strip_distance
from training.checkpoints.resume import Checkpoints
from training.config.reranker import RerankerTraining
from training.distributed import Process
from training.embedder.optimiser import fused_on
from training.loop import Loop
from training.progress import CheckRow, Observer, Progress, memory_gib
from training.readback import sent
from training.reranker.mining import Fold
from training.selection import Selections
from training.signals import StopRequest

Chosen = tuple[Fold, NDArray[np.integer]]
"""A fold and the numbers of some of its lists."""


def ranking_loss(distances: Tensor, similarities: Tensor, correct: Tensor, beta: float) -> Tensor:
    """Weighted BPR loss: the mean over the probes of the mean over pairs of a correct and a wrong candidate.

    -log sigmoid(d_neg - d_pos), times beta where the first stage has the pair in order.

    Args:
        distances: `[B, v]`.
        similarities: `[B, v]`.
        correct: `[B, v]` bool.
        beta: 0..1.
    """
    gap = distances.unsqueeze(1) - distances.unsqueeze(2)
    ordered = similarities.unsqueeze(2) > similarities.unsqueeze(1)
    pair = (correct.unsqueeze(2) & ~correct.unsqueeze(1)).float()
    weight = torch.where(ordered, beta, 1.0)
    losses = F.softplus(-gap) * weight * pair
    return (losses.sum(dim=(1, 2)) / pair.sum(dim=(1, 2)).clamp_min(1)).mean()


class Classifier(nn.Module):
    """The MLP on E that keeps identities apart; it is thrown away after training."""

    def __init__(self, inputs: int, identities: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, identities))

    def forward(self, embedded: Tensor) -> Tensor:
        """E `[..., s, d]` -> logits `[..., identities]`."""
        logits: Tensor = self.layers(embedded.flatten(-2))
        return logits


class RerankerTrainer(Loop[Chosen, CheckRow, StripReranker]):
    """Trains a re-ranker on the folds' lists; its periods are the steps between two checks.

    Args:
        folds: training lists; each fold has its own embedder, which has not seen the fold's vehicles. Where
            the first one's batches are, everything is computed.
        validation: lists of vehicles that no fold holds, for the checks; the weights with the lowest ranking
            loss on them are the result. Without any, the last weights are.
        shape: of the re-ranker.
        config: of the training.
        steps: end after this many of the schedule's steps; None for all of them.
        checkpoints: where to save after every check, and what to go on from; None for nowhere.
        observers: receive the events.
        stop: checked after every step.

    Attributes:
        validation_losses: step -> ranking loss on the validation lists, from step 0 (untrained).

    Raises:
        ValueError: the steps are no multiple of the steps between two checks.
    """

    row_type = CheckRow

    def __init__(
        self,
        folds: Sequence[Fold],
        validation: Sequence[Fold],
        shape: RerankerConfig,
        config: RerankerTraining,
        *,
        steps: int | None = None,
        checkpoints: Checkpoints | None = None,
        observers: Sequence[Observer] = (),
        stop: StopRequest | None = None,
    ) -> None:
        steps = config.steps if steps is None else steps
        if steps % config.check_every:
            raise ValueError(f"{steps} steps are no multiple of {config.check_every} between two checks")
        torch.manual_seed(config.seed)
        self.folds = folds
        self.validation = validation
        self.config = config
        device = folds[0].device
        self.model = StripReranker(shape).to(device)
        identities = sorted({v for fold in folds for v in fold.features.vehicles.tolist()})
        number = {vehicle: i for i, vehicle in enumerate(identities)}
        self._identities = {
            id(fold): np.array([number[v] for v in fold.features.vehicles.tolist()]) for fold in folds
        }
        self.classifier = Classifier(folds[0].inputs, len(identities)).to(device)
        self.best = copy.deepcopy(self.model)
        self._selections = Selections(
            self.model, config.selection_start, config.selection_end, Process(device)
        )
        self.validation_losses: dict[int, float] = {}
        self._source = np.random.default_rng(config.seed)
        self._parameters = [*self.model.parameters(), *self.classifier.parameters()]
        optimiser = torch.optim.AdamW(
            self._parameters,
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=fused_on(device),
        )
        super().__init__(
            {"model": self.model, "classifier": self.classifier, "best": self.best},
            optimiser,
            torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps),
            periods=steps // config.check_every,
            length=config.check_every,
            process=Process(device),
            checkpoints=checkpoints,
            observers=observers,
            stop=stop,
        )

    @property
    def result(self) -> StripReranker:
        """The re-ranker of the lowest validation loss, the last of several; without any, the last one."""
        return self.best if self.validation else self.model

    def begin(self) -> None:
        """Check the untrained re-ranker."""
        self._check()

    def _check(self) -> None:
        if not self.validation:
            return
        losses = self.validation_losses
        losses[self.step] = validation_loss(self.model, self.validation, self.config)
        if losses[self.step] == min(losses.values()):
            self.best.load_state_dict(self.model.state_dict())

    def batches(self, period: int, done: int = 0) -> Iterator[Chosen]:  # noqa: ARG002 - drawn one by one
        """Lists drawn from a fold that is drawn by its size, step by step."""
        sizes = np.array([len(fold.lists) for fold in self.folds])
        for _ in range(done, self.length):
            fold = self.folds[int(self._source.choice(len(self.folds), p=sizes / sizes.sum()))]
            yield fold, self._source.choice(len(fold.lists), self.config.batch, replace=False)

    def losses(self, batch: Chosen) -> dict[str, Tensor]:
        """Ranking loss plus alpha times the classification loss."""
        fold, chosen = batch
        self._selections.anneal(self.step, self.config.steps)
        identities = self._identities[id(fold)]
        return {"training": _loss(self.model, self.classifier, fold, chosen, identities, self.config)}

    def descend(self, total: Tensor) -> None:
        """Make a step along the gradient, of norm 1 at most."""
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()

    def progress(self) -> Progress:
        """What observers learn of a step."""
        return Progress(self.step, self.steps, {}, count=self.config.batch, unit="lists")

    def row(self, losses: dict[str, float], steps: int, seconds: float) -> CheckRow:
        """Compute the validation loss, and say what is known."""
        self._check()
        figures, warnings = self._selections.take()
        return CheckRow(
            step=self.step,
            steps=self.steps,
            loss=losses["training"],
            validation=self.validation_losses.get(self.step),
            learning_rate=self.learning_rate,
            lists_per_second=steps * self.config.batch / seconds if seconds else 0.0,
            seconds=seconds,
            memory_gib=memory_gib(self.process.device),
            figures=figures,
            warnings=warnings,
        )

    def emit(self, observer: Observer, row: CheckRow) -> None:
        """The validation loss has been computed."""
        observer.check(row)

    def place(self) -> str:
        """The step."""
        return f"step {self.step + 1}"

    def images(self, batch: Chosen) -> list[str]:
        """Paths of a batch's probes."""
        fold, chosen = batch
        return [str(fold.features.images[i].path) for i in fold.lists.probes[chosen]]

    def state(self) -> dict[str, Any]:
        """What draws the batches, and the validation losses."""
        losses = list(self.validation_losses.items())
        return {
            "source": self._source.bit_generator.state,
            "validation_losses": losses,
            "selections": self._selections.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what draws the batches, and the validation losses."""
        self._source.bit_generator.state = state["source"]
        self._selections.restore(state["selections"])
        self.validation_losses.update({int(step): loss for step, loss in state["validation_losses"]})


def _loss(
    model: StripReranker,
    classifier: Classifier,
    fold: Fold,
    chosen: NDArray[np.integer],
    identities: NDArray[np.integer],
    config: RerankerTraining,
) -> Tensor:
    """Ranking loss plus alpha times the classification loss, of the chosen lists.

    Along the attention there is nothing to classify: the strips stay what the embedder made of them.
    """
    probes, candidates, similarities, correct = fold.batch(chosen)
    if model.config.distance == "attention":
        return ranking_loss(
            config.scale * model(probes, candidates, similarities), similarities, correct, config.beta
        )
    e_p, e_c = model.embed(probes, candidates)
    distances = config.scale * (strip_distance(e_p, e_c) + model.config.fusion * (1 - similarities))
    loss = ranking_loss(distances, similarities, correct, config.beta)
    if config.alpha:
        logits = torch.cat([classifier(e_p).flatten(0, 1), classifier(e_c).flatten(0, 1)])
        candidates = fold.lists.candidates[chosen]
        own = np.repeat(identities[fold.lists.probes[chosen]], candidates.shape[1])
        labels = sent(torch.from_numpy(np.concatenate([own, identities[candidates].ravel()])), fold.device)
        loss = loss + config.alpha * F.cross_entropy(logits, labels)
    return loss


def validation_loss(model: StripReranker, folds: Sequence[Fold], config: RerankerTraining) -> float:
    """The ranking loss with every pair at full weight, over all lists of the folds."""
    total, count = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for fold in folds:
            for start in range(0, len(fold.lists), config.batch):
                chosen = np.arange(start, min(start + config.batch, len(fold.lists)))
                probes, candidates, similarities, correct = fold.batch(chosen)
                distances = config.scale * model(probes, candidates, similarities)
                total += len(chosen) * float(ranking_loss(distances, similarities, correct, 1.0))
                count += len(chosen)
    model.train()
    return total / count
