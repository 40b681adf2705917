"""The designs of the study of second stages: each learned, its weight chosen, and measured once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.reranker import RerankerConfig, StripReranker
from models.strips import PartHead
from training.evaluation.metrics import of_queries
from training.evaluation.rerank import SecondStage
from training.evaluation.result import RetrievalResult, won_and_lost
from training.evaluation.shift.conditions import Embed, Kind, TwoCameras, cross_camera_condition
from training.evaluation.shift.embedding import ImageSet
from training.evaluation.shift.trial import Trial, Variant
from training.evaluation.significance import Interval, bootstrap, mcnemar
from training.features.extract import Features
from training.features.trunk_cells import GRID
from training.reranker.mining import Fold
from training.studies.pair_network import MutualMatches, PairNetwork
from training.studies.second_look import (
    Chosen,
    Curve,
    Length,
    Weighted,
    choose_weight,
    learn_head,
    learn_lists,
    mean_list_loss,
)
from training.studies.second_look_material import Learning, LearningSets, learning
from training.studies.shift_material import Material

PARTS = (4, 4)
WIDTH = 128
LOOK = "second look"
STORED = "stored parts"
SHARPNESS = 20.0
CHUNK = 256
LOSS_OF = ("real, learning cameras", "rendered, other designs")
"""Of the lists that are set aside, those whose loss a training is watched by."""
Report = Callable[[str, int], Callable[[int], None]]
"""A part of the work and how much it is -> receives how much is done."""


@dataclass(frozen=True, eq=False)
class Design:
    """A second stage that was learned and weighed.

    Attributes:
        name: of the row.
        model: its distances, with the weight.
        embed: gives features with the parts that it compares.
        chosen: the weight.
        curve: of its training; empty where nothing was learned.
    """

    name: str
    model: nn.Module
    embed: Embed
    chosen: Chosen
    curve: Curve


@dataclass(frozen=True)
class Line:
    """A design under a condition, with or without camera normalisation.

    Attributes:
        design: its name.
        condition: its name.
        normalised: whether cameras were.
        queries: how many.
        first: R1 of the first stage, percent.
        both: R1 of both stages.
        gain: of both over the first, points, over vehicles.
        won: queries whose first match became correct.
        lost: queries whose first match became wrong.
        p: McNemar's.
    """

    design: str
    condition: str
    normalised: bool
    queries: int
    first: float
    both: float
    gain: Interval
    won: int
    lost: int
    p: float


def designs(
    sets: LearningSets,
    stored: Embed,
    cells: Embed,
    head_length: Length,
    list_length: Length,
    seed: int,
    report: Report,
) -> Iterator[Design]:
    """Learn and weigh every design.

    Args:
        sets: to learn from and to choose on.
        stored: gives the bundle's descriptors and parts.
        cells: gives the bundle's descriptors and the second look's cells, `GRID` of them.
        head_length: of the training of the second look's parts.
        list_length: of the training of pair networks.
        seed: of both.
        report: receives how far the trainings are.
    """

    def weighed(name: str, model: nn.Module, embed: Embed, of: Learning, curve: Curve) -> Design:
        chosen = choose_weight(model, of.aside)
        return Design(name, Weighted(model, chosen.weight).eval(), embed, chosen, curve)

    def paired(name: str, embed: Embed, of: Learning, *, sees_parts: bool = True) -> Design:
        torch.manual_seed(seed)
        model = PairNetwork(_width(of), PARTS, sees_parts=sees_parts)
        check = partial(_loss_aside, model, of)
        curve = learn_lists(model, of.fitted, check, list_length, seed, report(name, list_length.steps))
        return weighed(name, model, embed, of, curve)

    def coarse(wanted: ImageSet) -> Features:
        return _with(cells(wanted), _coarser)

    cell_lists = learning(sets, coarse)
    free = _with_learning(cell_lists, _unit)
    yield weighed(
        f"{LOOK}, not trained, mutual best matches",
        MutualMatches(),
        lambda wanted: _with(coarse(wanted), _unit),
        free,
        [],
    )
    torch.manual_seed(seed)
    head = PartHead(_width(cell_lists), PARTS, PARTS, WIDTH)

    def project(strips: NDArray[np.floating]) -> NDArray[np.float32]:
        return _projected(head, strips)

    attention = _untrained(WIDTH)

    def check() -> float:
        return _loss_aside(_Scaled(attention), _with_learning(cell_lists, project))

    name = f"{LOOK}, along the attention"
    sources = [cell_lists.real, cell_lists.rendered]
    curve = learn_head(head, sources, check, head_length, seed, report(name, head_length.steps))
    look = _with_learning(cell_lists, project)

    def tokens(wanted: ImageSet) -> Features:
        return _with(coarse(wanted), project)

    yield weighed(name, attention, tokens, look, curve)
    place = StripReranker(RerankerConfig(strip_width=WIDTH, heads=1))
    yield weighed(f"{LOOK}, place by place (CarGait's distance)", place, tokens, look, [])
    yield paired(f"{LOOK}, pair network", tokens, look)
    parts = learning(sets, stored)
    yield weighed(f"{STORED}, along the attention, not trained", _untrained(_width(parts)), stored, parts, [])
    yield paired(f"{STORED}, pair network", stored, parts)
    yield paired("no parts, the list's similarities", stored, parts, sees_parts=False)


def _loss_aside(model: nn.Module, of: Learning) -> float:
    return mean_list_loss(model, [of.aside[kind] for kind in LOSS_OF])


def _untrained(width: int) -> StripReranker:
    return StripReranker(
        RerankerConfig(strip_width=width, heads=1, distance="attention", sharpness=SHARPNESS, grid=PARTS)
    )


def _width(of: Learning) -> int:
    return int(_strips(of.real).shape[2])


class _Scaled(nn.Module):
    """Distances times a factor, so that a softmax over them tells candidates apart."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self, probes: torch.Tensor, candidates: torch.Tensor, similarities: torch.Tensor
    ) -> torch.Tensor:
        found: torch.Tensor = SHARPNESS * self.inner(probes, candidates, similarities)
        return found


Change = Callable[[NDArray[np.floating]], NDArray[np.floating]]


def _with(features: Features, change: Change) -> Features:
    return Features(features.images, features.descriptors, change(_strips(features)))


def _with_learning(of: Learning, change: Change) -> Learning:
    """The same lists over changed parts."""

    def changed(folds: list[Fold]) -> list[Fold]:
        made: dict[int, NDArray[np.floating]] = {}
        found = []
        for fold in folds:
            strips = _strips(fold.features)
            if id(strips) not in made:
                made[id(strips)] = change(strips)
            own = Features(fold.features.images, fold.features.descriptors, made[id(strips)])
            found.append(Fold(own, fold.lists))
        return found

    return Learning(
        _with(of.real, change),
        _with(of.rendered, change),
        {name: changed(folds) for name, folds in of.fitted.items()},
        {name: changed(folds) for name, folds in of.aside.items()},
    )


def _strips(features: Features) -> NDArray[np.floating]:
    if features.strips is None:
        raise ValueError("the embedder gives no parts; take a bundle with a second stage")
    return features.strips


def _coarser(strips: NDArray[np.floating]) -> NDArray[np.float32]:
    """Cells of `GRID` averaged to `PARTS`, column by column: `[N, 64, C]` -> `[N, 16, C]`."""
    down, across = GRID[0] // PARTS[0], GRID[1] // PARTS[1]
    values = np.asarray(strips, dtype=np.float32)
    cut = values.reshape(len(values), PARTS[1], across, PARTS[0], down, -1)
    found: NDArray[np.float32] = cut.mean(axis=(2, 4)).reshape(len(values), PARTS[0] * PARTS[1], -1)
    return found


def _unit(strips: NDArray[np.floating]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = strips / np.maximum(np.linalg.norm(strips, axis=-1, keepdims=True), 1e-12)
    return found


def _projected(head: PartHead, strips: NDArray[np.floating]) -> NDArray[np.float32]:
    was = head.training
    head.eval()
    with torch.inference_mode():
        found = [
            head.project([torch.from_numpy(np.asarray(strips[i : i + CHUNK], dtype=np.float32))])
            for i in range(0, len(strips), CHUNK)
        ]
    head.train(was)
    return torch.cat(found).numpy()


def measured(design: Design, material: Material, seed: int) -> Iterator[Line]:
    """A design before seen, virtual and mixed cameras and on rendered test vehicles.

    Args:
        design: to measure.
        material: vehicles that neither the bundle nor a design was learned or chosen on.
        seed: of mixed galleries and intervals.
    """
    stage = SecondStage(design.model)
    found: dict[str, list[dict[Variant, RetrievalResult]]] = {}
    for name, moved, trial in _trials(material, design.embed, seed):
        results = trial.measure(stage)
        if moved is not None:
            chosen = sorted(moved)
            results = {v: r.where(np.isin(r.vehicles, chosen)) for v, r in results.items()}
        found.setdefault(name, []).append(results)
    for condition, parts in found.items():
        for before, after in ((Variant.first, Variant.both), (Variant.normalised, Variant.both_normalised)):
            one, two = (
                RetrievalResult.pooled([part[v] for part in parts]).answerable() for v in (before, after)
            )
            was, now = (100 * of_queries(result, "R1") for result in (one, two))
            won, lost = won_and_lost(one, two)
            gain = bootstrap(now - was, two.vehicles, seed=seed)
            yield Line(
                design.name,
                condition,
                after.takes_cameras_out,
                len(one.queries),
                float(was.mean()),
                float(now.mean()),
                gain,
                won,
                lost,
                mcnemar(won, lost),
            )


def _trials(
    material: Material, embed: Embed, seed: int
) -> Iterator[tuple[str, frozenset[str] | None, Trial]]:
    """Trials by their condition, with the vehicles that count, None for all."""
    cameras: TwoCameras | None = material.cameras
    if cameras is not None:
        for kind in (Kind.seen, Kind.virtual, Kind.mixed):
            for condition in cameras.conditions(kind, embed, seed):
                if condition.by_vehicle:
                    name, vehicles = condition.by_vehicle[0]
                    yield name, vehicles, condition.trial
                else:
                    yield condition.names[0], None, condition.trial
    if material.synthetic is not None:
        yield "synthetic test vehicles", None, cross_camera_condition(material.synthetic, embed).trial
