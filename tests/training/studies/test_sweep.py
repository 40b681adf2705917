"""A sweep trains each setting and seed once, goes on where it was stopped, and compares seed by seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.small import Diary, experiment
from training.datasets.layouts import open_dataset
from training.evaluation.shift.conditions import Kind
from training.signals import StoppedError
from training.studies.sweep import Outcome, Sweep, tables

SETTINGS = {
    f"losses.triplet={weight}": experiment(
        schedule={"epochs": 2, "warm_up": 0, "freeze": 0},
        evaluation={"every": 0},
        data={"validation_vehicles": 4},
        losses={"triplet": weight},
    )
    for weight in (0.0, 1.0)
}


def run(tree: Path, folder: Path, diary: Diary, seeds: int = 1) -> list[Outcome]:
    (part,) = next(iter(SETTINGS.values())).data.parts(open_dataset(tree), 1)
    sweep = Sweep(SETTINGS, None, folder, {"data": "tree"}, diary, diary.stop)
    return sweep.run(part, [Kind.seen], range(seeds))


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_to_the_same_outcomes_and_more_seeds_are_added(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.studies.shift.SPACING", 0)
    through = run(tree, tmp_path / "one", Diary())
    assert [(each.setting, each.seed, each.condition) for each in through] == [
        (name, 0, "seen cameras") for name in SETTINGS
    ]

    stopping = Diary(stop_after=1, training=2)
    with pytest.raises(StoppedError):
        run(tree, tmp_path / "two", stopping)
    rest = Diary()
    assert run(tree, tmp_path / "two", rest) == through
    assert [done for _, done in rest.beginnings] == [1], "the first setting is trained once"

    more = Diary()
    both = run(tree, tmp_path / "two", more, seeds=2)
    assert both[: len(through)] == through
    assert len(more.beginnings) == len(SETTINGS), "only the new seed is trained"


def outcome(setting: str, seed: int, condition: str, value: float) -> Outcome:
    return Outcome(setting, seed, condition, 162, {"R1": value, "mAP": value / 2})


def test_the_differences_are_those_of_the_same_seed() -> None:
    outcomes = [
        outcome("eta=0", 0, "seen", 50.0),
        outcome("eta=1", 0, "seen", 52.0),
        outcome("eta=0", 1, "seen", 60.0),
        outcome("eta=1", 1, "seen", 62.0),
    ]
    settings, r1, r1_less, mean_ap, _ = tables(outcomes)
    assert settings.lines == (("1", "eta=0"), ("2", "eta=1"))
    assert r1.head == ("condition", "1", "2")
    assert r1.lines == (("seen", "55.0 ± 7.1", "57.0 ± 7.1"),)
    assert r1_less.head == ("condition", "2")
    assert r1_less.lines == (("seen", "+2.0 ± 0.0"),)
    assert mean_ap.lines == (("seen", "27.5 ± 3.5", "28.5 ± 3.5"),)


def test_one_seed_has_no_spread_and_one_setting_no_difference() -> None:
    _, r1, mean_ap = tables([outcome("eta=0", 0, "seen", 50.0)])
    assert r1.lines == (("seen", "50.0"),)
    assert mean_ap.lines == (("seen", "25.0"),)
