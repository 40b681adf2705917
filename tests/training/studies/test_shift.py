"""Folds go on where they were stopped; material is what a bundle may be measured on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import pretend
from tests.training.small import Diary, experiment
from training.config.embedder import ExperimentConfig
from training.datasets.image import DatasetError
from training.datasets.layouts import open_dataset
from training.evaluation.shift.conditions import Kind
from training.signals import StoppedError
from training.studies.shift import FoldStudy
from training.studies.shift_material import limited

CONFIG = experiment(schedule={"epochs": 2, "warm_up": 0, "freeze": 0}, evaluation={"every": 0})


def study(folder: Path, diary: Diary, config: ExperimentConfig = CONFIG) -> FoldStudy:
    return FoldStudy(config, None, folder, {"data": "tree"}, diary, diary.stop)


@pytest.mark.slow
def test_folds_that_were_stopped_go_on_to_the_same_rows(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.studies.shift.SPACING", 0)
    parts = CONFIG.data.parts(open_dataset(tree), 2)
    through = study(tmp_path / "one", Diary()).measure(parts, [Kind.seen], tmp_path / "features")

    # In the second fold's training.
    stopping = Diary(stop_after=1, training=2)
    with pytest.raises(StoppedError):
        study(tmp_path / "two", stopping).measure(parts, [Kind.seen], tmp_path / "features")
    rest = Diary()
    gone_on = study(tmp_path / "two", rest).measure(parts, [Kind.seen], tmp_path / "features")
    assert [done for _, done in rest.beginnings] == [1], "the first fold is trained once"
    assert gone_on == through


def test_folds_are_measured_before_two_cameras_alone(tree: Path, tmp_path: Path) -> None:
    parts = CONFIG.data.parts(open_dataset(tree), 2)
    with pytest.raises(DatasetError, match="seen, virtual, mixed, degraded, occluded alone"):
        study(tmp_path, Diary()).measure(parts, [Kind.classes], tmp_path)


def test_a_quick_look_takes_whole_vehicles_and_the_same_each_time() -> None:
    images = pretend(30)
    chosen = limited(images, 7)
    assert len({image.vehicle_id for image in chosen}) == 7
    assert len(chosen) == 14
    assert {i.vehicle_id for i in limited(images[::-1], 7)} == {i.vehicle_id for i in chosen}
    assert limited(images, None) == images
