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
from training.features import Features


@dataclass(frozen=True)
class RerankerTraining:
    """How a re-ranker is trained.

    Attributes:
        candidates: v, length of the list mined for each probe.
        beta: weight of a triplet that the first stage has in order already; 0.1 in the paper, where it
            keeps easy triplets from drowning the hard ones of a large set.
        alpha: weight of the classification loss.
        scale: the distances' factor in the ranking loss; 1 is the paper's. Strips of unit length lie
            within a few tenths of each other, where a sigmoid has no opinion.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch: probes a step.
        steps: at most.
        check_every: steps between two looks at the validation loss; the best one's weights are kept.
        seed: of everything that is drawn.
    """

    candidates: int = 20
    beta: float = 1.0
    alpha: float = 0.01
    scale: float = 20.0
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch: int = 16
    steps: int = 200
    check_every: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Lists:
    """For each of Q probes the first v of the first stage; positions point into a `Features`.

    Attributes:
        probes: `[Q]` positions.
        candidates: `[Q, v]` positions, best first.
        similarities: `[Q, v]` cosine.
        right: `[Q, v]` whether the candidate shows the probe's vehicle.
    """

    probes: NDArray[np.intp]
    candidates: NDArray[np.intp]
    similarities: NDArray[np.float32]
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.probes)


def mine(features: Features, length: int) -> Lists:
    """The first `length` of the other cameras' images for every image, where that holds right and wrong ones.

    Raises:
        ValueError: no image has both in its list.
    """
    vehicles, cameras = features.vehicles, features.cameras
    similarities = features.descriptors @ features.descriptors.T
    probes, candidates = [], []
    for i in range(len(vehicles)):
        others = np.flatnonzero(cameras != cameras[i])
        first = others[np.argsort(-similarities[i, others], kind="stable")][:length]
        right = vehicles[first] == vehicles[i]
        if len(first) == length and right.any() and not right.all():
            probes.append(i)
            candidates.append(first)
    if not probes:
        raise ValueError(f"no probe has a right and a wrong answer among its first {length}")
    p, c = np.array(probes), np.stack(candidates)
    return Lists(p, c, similarities[p[:, None], c], vehicles[c] == vehicles[p][:, None])


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
class Fold:
    """Features of one embedder with the lists mined in them."""

    features: Features
    lists: Lists

    def batch(self, chosen: NDArray[np.integer]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Probes `[B, s, d]`, candidates `[B, v, s, d]`, similarities `[B, v]`, right `[B, v]`."""
        strips = self.features.strips
        if strips is None:
            raise ValueError("the embedder gives no strips")
        return (
            torch.from_numpy(strips[self.lists.probes[chosen]]),
            torch.from_numpy(strips[self.lists.candidates[chosen]]),
            torch.from_numpy(self.lists.similarities[chosen]),
            torch.from_numpy(self.lists.right[chosen]),
        )


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
) -> Trained:
    """Train on the folds' lists.

    Args:
        folds: training lists; each fold has its own embedder, which has not seen the fold's vehicles.
        validation: lists of vehicles that no fold holds, to look at now and then; the weights with the
            lowest ranking loss on them are returned. Without any, the last weights are.
        shape: of the re-ranker.
        config: of the training.
        stop: end after this many of the schedule's steps.
        report: called with every step and its training loss.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    torch.manual_seed(config.seed)
    source = np.random.default_rng(config.seed)
    model = StripReranker(shape)
    identities = sorted({v for fold in folds for v in fold.features.vehicles.tolist()})
    number = {vehicle: i for i, vehicle in enumerate(identities)}
    strips = folds[0].features.strips
    if strips is None:
        raise ValueError("the embedder gives no strips")
    classifier = Classifier(strips.shape[1] * strips.shape[2], len(identities))
    parameters = [*model.parameters(), *classifier.parameters()]
    optimiser = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    losses: dict[int, float] = {}
    best = copy.deepcopy(model.state_dict())
    if validation:
        losses[0] = validation_loss(model, validation, config)
    sizes = np.array([len(fold.lists) for fold in folds])
    for step in range(1, (config.steps if stop is None else stop) + 1):
        fold = folds[int(source.choice(len(folds), p=sizes / sizes.sum()))]
        chosen = source.choice(len(fold.lists), config.batch, replace=False)
        probes, candidates, similarities, right = fold.batch(chosen)
        e_p, e_c = model.embed(probes, candidates)
        distances = config.scale * (strip_distance(e_p, e_c) + shape.fusion * (1 - similarities))
        loss = ranking_loss(distances, similarities, right, config.beta)
        if config.alpha:
            labels = _labels(fold, chosen, number)
            logits = torch.cat([classifier(e_p).flatten(0, 1), classifier(e_c).flatten(0, 1)])
            loss = loss + config.alpha * F.cross_entropy(logits, torch.cat(labels))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the re-ranker's loss is {loss.item()} in step {step}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        report(step, loss.item())
        if validation and step % config.check_every == 0:
            losses[step] = validation_loss(model, validation, config)
            if losses[step] == min(losses.values()):
                best = copy.deepcopy(model.state_dict())
    if validation:
        model.load_state_dict(best)
    return Trained(model.eval(), losses)


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


def rerank(
    model: StripReranker, queries: Features, gallery: Features, ranking: NDArray[np.integer], length: int
) -> NDArray[np.intp]:
    """Re-order the first `length` of a ranking `[Q, G]` by the re-ranker's distances; the tail stays.

    Raises:
        ValueError: features without strips.
    """
    if queries.strips is None or gallery.strips is None:
        raise ValueError("re-ranking needs strips")
    out = np.array(ranking, dtype=np.intp)
    length = min(length, ranking.shape[1])
    with torch.inference_mode():
        for start in range(0, len(out), 32):
            rows = slice(start, start + 32)
            first = out[rows, :length]
            similarities = np.einsum("qd,qnd->qn", queries.descriptors[rows], gallery.descriptors[first])
            distances = model(
                torch.from_numpy(queries.strips[rows]),
                torch.from_numpy(gallery.strips[first]),
                torch.from_numpy(similarities),
            )
            order = np.argsort(distances.numpy(), axis=1, kind="stable")
            out[rows, :length] = np.take_along_axis(first, order, axis=1)
    return out
