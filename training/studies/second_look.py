"""Second stages that differ in where their parts come from, learned and chosen on training vehicles."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.reranker import nearness
from models.strips import PartHead
from training.embedder.losses import contrastive
from training.features.extract import Features
from training.reranker.mining import Fold
from training.reranker.part_head import SCALE, distances_along

Curve = list[tuple[int, float]]
"""Steps and the loss on what is set aside."""
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 80.0)
"""Of the first stage's similarity beside a second stage's distance."""
LOST = 1 / 3
"""Of the queries won, how many may be lost on any set to choose on."""
CHUNK = 128


@dataclass(frozen=True)
class Length:
    """How long and on how much to learn.

    Attributes:
        steps: of training.
        every: steps between two checks.
        vehicles: in a batch of images.
        lists: in a batch of lists.
        rate: the greatest learning rate.
    """

    steps: int
    every: int
    vehicles: int = 20
    lists: int = 64
    rate: float = 1e-3


def learn_head(
    head: PartHead,
    sources: Sequence[Features],
    check: Callable[[], float],
    length: Length,
    seed: int,
    report: Callable[[int], None] = lambda _: None,
) -> Curve:
    """Teach a head of parts the distance along an untrained attention; the best check's weights are kept.

    Args:
        head: gets the weights; its cells are the features' strips.
        sources: batches are of one of them, in turn; half of a batch's vehicles share a group with others.
        check: the loss on what is set aside.
        length: of the training.
        seed: of the batches.
        report: called with the number of steps done.
    """
    source = random.Random(seed)  # noqa: S311
    rows = head.bands.shape[0]
    position = nearness(rows, head.columns.shape[0])
    cells = [torch.from_numpy(np.asarray(each.strips)) for each in sources]
    groups = [_by_group(each) for each in sources]
    codes = [torch.from_numpy(np.unique(each.vehicles, return_inverse=True)[1]) for each in sources]

    def loss(step: int) -> Tensor:
        number = step % len(sources)
        chosen = torch.tensor(_batch(groups[number], length.vehicles, source))
        tokens = head.project([cells[number][chosen].float()])
        return contrastive(-SCALE * distances_along(tokens, position), codes[number][chosen], 1.0)

    return _learn(head, loss, check, length, report)


def _by_group(features: Features) -> list[list[list[int]]]:
    """Positions by vehicle, vehicles by group; those without one are a group together."""
    found: dict[str, dict[str, list[int]]] = {}
    for position, image in enumerate(features.images):
        found.setdefault(image.group, {}).setdefault(image.vehicle_id, []).append(position)
    return [list(vehicles.values()) for vehicles in found.values()]


def _batch(groups: list[list[list[int]]], count: int, source: random.Random) -> list[int]:
    """Two images of each of `count` vehicles, at most six of a group where there are several."""
    order = source.sample(range(len(groups)), len(groups))
    of_one = 6 if len(groups) > 1 else count
    vehicles = [v for g in order for v in source.sample(groups[g], min(of_one, len(groups[g])))][:count]
    return [row for own in vehicles for row in (source.sample(own, 2) if len(own) > 1 else own * 2)]


def learn_lists(
    model: nn.Module,
    fitted: Mapping[str, Sequence[Fold]],
    check: Callable[[], float],
    length: Length,
    seed: int,
    report: Callable[[int], None] = lambda _: None,
) -> Curve:
    """Teach a model of distances to put correct matches first; the best check's weights are kept."""
    source = np.random.default_rng(seed)
    kinds = list(fitted.values())

    def loss(step: int) -> Tensor:
        kind = kinds[step % len(kinds)]
        fold = kind[int(source.integers(len(kind)))]
        *given, correct = fold.batch(source.choice(len(fold.lists), length.lists))
        return list_loss(model(*given), correct).mean()

    return _learn(model, loss, check, length, report)


def _learn(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    check: Callable[[], float],
    length: Length,
    report: Callable[[int], None],
) -> Curve:
    optimiser = torch.optim.AdamW(model.parameters(), length.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, length.rate, length.steps)
    curve: Curve = []
    best: dict[str, Tensor] = {}
    for step in range(length.steps + 1):
        if step % length.every == 0 or step == length.steps:
            model.eval()
            with torch.inference_mode():
                curve.append((step, check()))
            model.train()
            if curve[-1][1] == min(value for _, value in curve):
                best = {name: value.clone() for name, value in model.state_dict().items()}
        if step < length.steps:
            found = loss(step)
            optimiser.zero_grad(set_to_none=True)
            found.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            report(step + 1)
    model.load_state_dict(best)
    model.eval()
    return curve


def list_loss(distances: Tensor, correct: Tensor) -> Tensor:
    """-log of what the correct candidates have of a list's softmax(-distance): `[B, n]` -> `[B]`."""
    shares = F.log_softmax(-distances, dim=1)
    return -shares.masked_fill(~correct, -torch.inf).logsumexp(dim=1)


def mean_list_loss(model: nn.Module, sets: Sequence[Sequence[Fold]]) -> float:
    """The mean over the sets of `list_loss` over their lists."""
    return float(
        np.mean([float(torch.cat([list_loss(*pair) for pair in _judged(model, s)]).mean()) for s in sets])
    )


class Weighted(nn.Module):
    """A second stage's distances with a weight of the first stage's similarity, infinite for abstention."""

    def __init__(self, inner: nn.Module, weight: float) -> None:
        super().__init__()
        self.inner = inner
        self.weight = weight

    def forward(self, probes: Tensor, candidates: Tensor, similarities: Tensor) -> Tensor:
        """Distances `[B, n]`; see `models.reranker.StripReranker`."""
        if self.weight == float("inf"):
            return 1 - similarities
        distances: Tensor = self.inner(probes, candidates, similarities)
        return distances + self.weight * (1 - similarities)


@dataclass(frozen=True)
class Chosen:
    """A weight, and what it does on the sets that it was chosen on.

    Attributes:
        weight: infinite where no weight is worth its losses.
        moved: of each weight, (won, lost) of each set.
    """

    weight: float
    moved: dict[float, dict[str, tuple[int, int]]]


def choose_weight(
    model: nn.Module, aside: Mapping[str, Sequence[Fold]], weights: Sequence[float] = WEIGHTS
) -> Chosen:
    """The weight that wins most on the whole, of those that lose few queries on every set."""
    moved: dict[float, dict[str, tuple[int, int]]] = {weight: {} for weight in weights}
    for name, folds in aside.items():
        found = list(_judged(model, folds, similarities=True))
        for weight in weights:
            won = lost = 0
            for distances, correct, similarities in found:
                first = (distances + weight * (1 - similarities)).argmin(dim=1, keepdim=True)
                after, before = correct.gather(1, first)[:, 0], correct[:, 0]
                won, lost = won + int((after & ~before).sum()), lost + int((before & ~after).sum())
            moved[weight][name] = (won, lost)
    gains = {
        weight: sum(won - lost for won, lost in sets.values())
        for weight, sets in moved.items()
        if all(lost <= LOST * won for won, lost in sets.values())
    }
    best = max(gains, key=lambda weight: (gains[weight], weight), default=float("inf"))
    return Chosen(best if gains.get(best, 0) > 0 else float("inf"), moved)


def _judged(
    model: nn.Module, folds: Sequence[Fold], *, similarities: bool = False
) -> list[tuple[Tensor, ...]]:
    """Distances and what is correct of all lists, with their similarities where asked for."""
    found = []
    model.eval()
    with torch.inference_mode():
        for fold in folds:
            for start in range(0, len(fold.lists), CHUNK):
                given = fold.batch(np.arange(start, min(start + CHUNK, len(fold.lists))))
                extra = (given[2],) if similarities else ()
                found.append((model(*given[:3]), given[3], *extra))
    return found
