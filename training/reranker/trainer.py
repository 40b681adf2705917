"""Training the re-ranker on the lists that a frozen embedder makes (CarGait, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.reranker import RerankerConfig, StripReranker, strip_distance
from training.checkpoints.resume import (
    Snapshots,
    pack_chance,
    pack_optimiser,
    under,
    unpack_chance,
    unpack_optimiser,
)
from training.config.reranker import RerankerTraining
from training.reranker.mining import Fold
from training.signals import InterruptedRunError, Interruption


def ranking_loss(distances: Tensor, similarities: Tensor, right: Tensor, beta: float) -> Tensor:
    """Weighted BPR loss, the mean over the probes of their mean over pairs of a right and a wrong candidate.

    -log sigmoid(d_neg - d_pos), times beta where the first stage has the pair in order.

    Args:
        distances: `[B, v]`.
        similarities: `[B, v]`.
        right: `[B, v]` bool.
        beta: 0..1.
    """
    gap = distances.unsqueeze(1) - distances.unsqueeze(2)
    ordered = similarities.unsqueeze(2) > similarities.unsqueeze(1)
    pair = (right.unsqueeze(2) & ~right.unsqueeze(1)).float()
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


@dataclass(frozen=True)
class Trained:
    """A trained re-ranker and the way there.

    Attributes:
        model: in evaluation mode.
        losses: step -> ranking loss on the validation lists, from step 0 (untrained).
    """

    model: StripReranker
    losses: dict[int, float]


def train_reranker(
    folds: Sequence[Fold],
    validation: Sequence[Fold],
    shape: RerankerConfig,
    config: RerankerTraining,
    *,
    stop: int | None = None,
    report: Callable[[int, float], None] = lambda *_: None,
    snapshots: Snapshots | None = None,
    interruption: Interruption | None = None,
) -> Trained:
    """Train on the folds' lists.

    Args:
        folds: training lists; each fold has its own embedder, which has not seen the fold's vehicles. Where
            the first one's batches are, everything is computed.
        validation: lists of vehicles that no fold holds, to look at now and then; the weights with the
            lowest ranking loss on them are returned. Without any, the last weights are.
        shape: of the re-ranker.
        config: of the training.
        stop: end after this many of the schedule's steps.
        report: called with every step and its training loss.
        snapshots: where to save, and what to go on from if there is something.
        interruption: asked after every step.

    Raises:
        FloatingPointError: the loss is not finite.
        InterruptedRunError: it was asked to stop, and has saved where it stands.
        SnapshotError: what was saved does not fit.
    """
    torch.manual_seed(config.seed)
    source = np.random.default_rng(config.seed)
    device = folds[0].device
    model = StripReranker(shape).to(device)
    identities = sorted({v for fold in folds for v in fold.features.vehicles.tolist()})
    number = {vehicle: i for i, vehicle in enumerate(identities)}
    strips = folds[0].features.strips
    if strips is None:
        raise ValueError("the embedder gives no strips")
    classifier = Classifier(strips.shape[1] * strips.shape[2], len(identities)).to(device)
    parameters = [*model.parameters(), *classifier.parameters()]
    optimiser = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    losses: dict[int, float] = {}
    best = copy.deepcopy(model.state_dict())
    done = 0

    def save() -> None:
        if snapshots is None:
            return
        parts = {"model": model.state_dict(), "classifier": classifier.state_dict(), "best": best}
        tensors = {f"{part}.{name}": t for part, state in parts.items() for name, t in state.items()}
        state, groups = pack_optimiser(optimiser)
        values = {
            "losses": list(losses.items()),
            "groups": groups,
            "schedule": schedule.state_dict(),
            "source": source.bit_generator.state,
        }
        snapshots.save(done, tensors | state | pack_chance(), {"step": done, **values})

    if snapshots is not None and snapshots.exist():
        tensors, values = snapshots.load()
        model.load_state_dict(under("model.", tensors), strict=True)
        classifier.load_state_dict(under("classifier.", tensors), strict=True)
        best = under("best.", tensors)
        unpack_optimiser(optimiser, tensors, values["groups"])
        schedule.load_state_dict(values["schedule"])
        source.bit_generator.state = values["source"]
        losses = {int(step): loss for step, loss in values["losses"]}
        done = values["step"]
        unpack_chance(tensors)
    elif validation:
        losses[0] = validation_loss(model, validation, config)
    sizes = np.array([len(fold.lists) for fold in folds])
    for step in range(done + 1, (config.steps if stop is None else stop) + 1):
        fold = folds[int(source.choice(len(folds), p=sizes / sizes.sum()))]
        chosen = source.choice(len(fold.lists), config.batch, replace=False)
        loss = _loss(model, classifier, fold, chosen, number, config)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the re-ranker's loss is {loss.item()} in step {step}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        done = step
        report(step, loss.item())
        if validation and step % config.check_every == 0:
            losses[step] = validation_loss(model, validation, config)
            if losses[step] == min(losses.values()):
                best = copy.deepcopy(model.state_dict())
        asked = interruption is not None and interruption.asked
        if asked or step % config.check_every == 0:
            save()
        if asked:
            raise InterruptedRunError(f"stopped the re-ranker after step {step}")
    if validation:
        model.load_state_dict(best)
    return Trained(model.eval(), losses)


def _loss(
    model: StripReranker,
    classifier: Classifier,
    fold: Fold,
    chosen: NDArray[np.integer],
    number: dict[str, int],
    config: RerankerTraining,
) -> Tensor:
    """Ranking loss plus alpha times the classification loss, of the chosen lists.

    Along the attention there is nothing to classify: the strips stay what the embedder made of them.
    """
    probes, candidates, similarities, right = fold.batch(chosen)
    if model.config.distance == "attention":
        return ranking_loss(
            config.scale * model(probes, candidates, similarities), similarities, right, config.beta
        )
    e_p, e_c = model.embed(probes, candidates)
    distances = config.scale * (strip_distance(e_p, e_c) + model.config.fusion * (1 - similarities))
    loss = ranking_loss(distances, similarities, right, config.beta)
    if config.alpha:
        logits = torch.cat([classifier(e_p).flatten(0, 1), classifier(e_c).flatten(0, 1)])
        labels = torch.cat(_labels(fold, chosen, number)).to(fold.device)
        loss = loss + config.alpha * F.cross_entropy(logits, labels)
    return loss


def _labels(fold: Fold, chosen: NDArray[np.integer], number: dict[str, int]) -> tuple[Tensor, Tensor]:
    vehicles = fold.features.vehicles
    candidates = fold.lists.candidates[chosen]
    own = np.array([number[v] for v in vehicles[fold.lists.probes[chosen]]])
    other = np.array([[number[v] for v in row] for row in vehicles[candidates]])
    return (
        torch.from_numpy(np.repeat(own, candidates.shape[1])),
        torch.from_numpy(other.ravel()),
    )


def validation_loss(model: StripReranker, folds: Sequence[Fold], config: RerankerTraining) -> float:
    """The ranking loss with every pair at full weight, over all lists of the folds."""
    total, count = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for fold in folds:
            for start in range(0, len(fold.lists), config.batch):
                chosen = np.arange(start, min(start + config.batch, len(fold.lists)))
                probes, candidates, similarities, right = fold.batch(chosen)
                distances = config.scale * model(probes, candidates, similarities)
                total += len(chosen) * float(ranking_loss(distances, similarities, right, 1.0))
                count += len(chosen)
    model.train()
    return total / count
