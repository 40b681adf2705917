"""Second stages: how a weight of the first stage is chosen, how they learn, and how they are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.evaluation.shift.conditions import TwoCameras
from training.evaluation.shift.embedding import ImageSet
from training.features.extract import Features
from training.reranker.mining import Fold, Lists
from training.studies.learning_cameras import ASIDE, FITTED
from training.studies.second_look import (
    Length,
    Weighted,
    choose_weight,
    learn_lists,
    list_loss,
    mean_list_loss,
)
from training.studies.second_look_designs import designs, measured
from training.studies.second_look_material import LearningSets, is_aside
from training.studies.shift_material import Material


class Signed(nn.Module):
    """Distances to candidates by their first number: a second stage that is right, or wrong, by `sign`."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(sign))

    def forward(self, probes: Tensor, candidates: Tensor, similarities: Tensor) -> Tensor:
        del probes, similarities
        return self.sign * candidates[..., 0, 0]


def fold(*, first_correct: int, count: int = 8) -> Fold:
    """Lists of two, of which the first of `first_correct` are in order; 0 marks the correct candidate."""
    strips = np.zeros((count + 2, 1, 1), np.float32)
    strips[1] = 1
    correct = np.array([[i < first_correct, i >= first_correct] for i in range(count)])
    images = [VehicleImage(Path(f"{i}.jpg"), str(i), "c") for i in range(count + 2)]
    candidates = np.where(correct, 0, 1)
    similarities = np.tile(np.array([0.6, 0.5], np.float32), (count, 1))
    return Fold(
        Features(images, np.zeros((count + 2, 2), np.float32), strips),
        Lists(np.arange(count) + 2, candidates, similarities, correct),
    )


def test_a_second_stage_that_is_right_gets_the_weight_that_wins_most() -> None:
    chosen = choose_weight(Signed(1.0), {"a": [fold(first_correct=6)]}, weights=(1.0, 5.0, 20.0))
    # The margin of 0.1 times 20 is more than the second stage's 1.
    assert chosen.moved == {1.0: {"a": (2, 0)}, 5.0: {"a": (2, 0)}, 20.0: {"a": (0, 0)}}
    assert chosen.weight == 5.0


def test_a_second_stage_that_is_wrong_abstains_and_leaves_the_first_one_s_order() -> None:
    sets = {"a": [fold(first_correct=6)]}
    chosen = choose_weight(Signed(-1.0), sets)
    assert chosen.weight == float("inf")
    *given, _ = sets["a"][0].batch(np.arange(8))
    assert Weighted(Signed(-1.0), chosen.weight)(*given).argmin(dim=1).eq(0).all()


def test_what_is_lost_on_one_set_is_not_made_good_by_another() -> None:
    # Every query of `good` is won; in `bad` the wrong candidate is the second stage's choice, and second.
    good, bad = fold(first_correct=0), fold(first_correct=8)
    turned = Lists(bad.lists.probes, 1 - bad.lists.candidates, bad.lists.similarities, bad.lists.correct)
    sets = {"good": [good, good], "bad": [Fold(bad.features, turned)]}
    chosen = choose_weight(Signed(1.0), sets, weights=(1.0,))
    assert chosen.moved == {1.0: {"good": (16, 0), "bad": (0, 8)}}
    assert chosen.weight == float("inf")


def test_learning_keeps_the_weights_of_the_best_check() -> None:
    model, sets = Signed(-1.0), {"a": [fold(first_correct=4)]}
    length = Length(steps=40, every=10, lists=8, rate=0.2)
    curve = learn_lists(model, sets, lambda: mean_list_loss(model, list(sets.values())), length, seed=0)
    assert [step for step, _ in curve] == [0, 10, 20, 30, 40]
    assert curve[0][1] == pytest.approx(float(np.log1p(np.exp(1))))
    assert mean_list_loss(model, list(sets.values())) == pytest.approx(min(value for _, value in curve))
    assert float(model.sign.detach()) > 0


def test_the_list_loss_asks_for_any_of_the_correct_candidates() -> None:
    distances = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    correct = torch.tensor([[True, True, False, False]])
    assert float(list_loss(distances, correct)) == pytest.approx(float(np.log(2)))


CHANNELS = 6


def pretended(cells: int) -> Callable[[ImageSet], Features]:
    """Descriptors that hardly know vehicles, and parts that know them well."""

    def embed(wanted: ImageSet) -> Features:
        source = np.random.default_rng([ord(letter) for letter in wanted.images[0].camera_id])
        descriptors, strips = [], []
        for image in wanted.images:
            own = np.random.default_rng([ord(letter) for letter in image.vehicle_id])
            descriptors.append(own.normal(size=16) + source.normal(0, 2, 16))
            strips.append(own.normal(size=(cells, CHANNELS)) + source.normal(0, 0.1, (cells, CHANNELS)))
        found = np.array(descriptors, np.float32)
        parts = np.array(strips, np.float32)
        parts /= np.linalg.norm(parts, axis=2, keepdims=True)
        return Features(list(wanted.images), found / np.linalg.norm(found, axis=1, keepdims=True), parts)

    return embed


def before(camera: str, vehicles: int, start: int = 0, **facts: str) -> list[VehicleImage]:
    return [
        VehicleImage(Path(f"{camera}-{n}.jpg"), f"v{n}", camera, **facts)
        for n in range(start, start + vehicles)
    ]


def silent(name: str, total: int) -> Callable[[int], None]:
    del name, total
    return lambda _: None


@pytest.mark.slow
def test_every_design_is_learned_and_measured_and_good_parts_win() -> None:
    first, second = before("a", 60), before("b", 60)
    cameras = [[replace(i, camera_id=f"own{n}") for i in second] for n in (*FITTED, *ASIDE)]
    designs_of_all = [f"sedan-{n:02}" for n in range(8)]
    rendered = [
        image
        for number, name in enumerate(designs_of_all)
        for camera in ("c02", "c03")
        for image in before(camera, 12, 100 + 12 * number, model=name, group=name)
    ]
    assert {is_aside(image) for image in rendered} == {False, True}
    sets = LearningSets(
        [ImageSet("", each) for each in (first, second, *cameras)],
        ImageSet("", rendered),
        ImageSet("", before("c02", 20, 300, model="x") + before("c03", 20, 300, model="x")),
    )
    held = TwoCameras(before("a", 15, 400), before("b", 15, 400))
    test = before("c01", 15, 500) + before("c05", 15, 500)
    material = Material(held, Task("rendered", test, test))
    short = Length(steps=4, every=2, vehicles=6, lists=16)
    found = list(designs(sets, pretended(16), pretended(64), short, short, 0, silent))
    assert len({design.name for design in found}) == len(found) == 7
    assert [len(design.curve) for design in found] == [0, 3, 0, 3, 0, 3, 3]
    stored = next(d for d in found if d.name == "stored parts, along the attention, not trained")
    assert stored.chosen.weight < float("inf")
    lines = {(line.condition, line.normalised): line for line in measured(stored, material, seed=0)}
    assert {name for name, _ in lines} == {
        "seen cameras",
        "all virtual cameras",
        "mixed: one view virtual",
        "synthetic test vehicles",
    }
    line = lines["seen cameras", True]
    assert line.queries == 30
    assert line.both - line.first == pytest.approx(100 * (line.won - line.lost) / 30)
    assert line.won > line.lost
