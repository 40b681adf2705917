"""Conditions: which images search which, and from which camera they seem to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.datasets.dataset import Task
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.shift.conditions import (
    MOVED,
    UNASKED,
    Kind,
    TwoCameras,
    class_condition,
    cross_camera_condition,
)
from training.evaluation.shift.degradations import DEGRADATIONS, OCCLUSIONS
from training.evaluation.shift.embedding import ImageSet
from training.evaluation.shift.trial import Variant
from training.evaluation.shift.virtual_cameras import VIRTUAL_CAMERAS
from training.features.extract import Features

VEHICLES = 20


def images() -> list[VehicleImage]:
    return [
        VehicleImage(Path(f"{n:02}-{camera}.jpg"), f"v{n:02}", camera)
        for n in range(VEHICLES)
        for camera in ("cam1", "cam2")
    ]


class Recorder:
    """Embeds without a look at pixels: each vehicle has a direction of its own."""

    def __init__(self) -> None:
        self.sets: dict[str, ImageSet] = {}

    def __call__(self, wanted: ImageSet) -> Features:
        self.sets[wanted.name] = wanted
        numbers = [int(image.vehicle_id[1:]) for image in wanted.images]
        return Features(list(wanted.images), np.eye(VEHICLES, dtype=np.float32)[numbers], None)


def test_seen_vehicles_are_searched_both_ways() -> None:
    (condition,) = TwoCameras.of(images()).conditions(Kind.seen, Recorder(), 0)
    result = condition.trial.measure(None)[Variant.first]
    assert len(result.queries) == 2 * VEHICLES
    assert (result.first == 1).all()


def test_virtual_cameras_take_the_place_of_the_second_camera_alone() -> None:
    embed = Recorder()
    conditions = list(TwoCameras.of(images()).conditions(Kind.virtual, embed, 0))
    assert len(conditions) == len(VIRTUAL_CAMERAS)
    for condition, camera in zip(conditions, VIRTUAL_CAMERAS, strict=True):
        assert condition.names == ("all virtual cameras", f"virtual: {camera.name}")
        first, other = condition.trial.parts
        assert {image.camera_id for image in first.images} == {"cam1"}
        assert {image.camera_id for image in other.images} == {camera.name}
        assert {image.path.name[3:7] for image in other.images} == {"cam2"}
        assert embed.sets[f"virtual camera {camera.name}"].change == camera.see


def test_a_mixed_gallery_has_every_vehicle_once_and_some_before_a_virtual_camera() -> None:
    for condition in TwoCameras.of(images()).conditions(Kind.mixed, Recorder(), 0):
        first, stay, go = condition.trial.parts
        assert len(go.images) == round(MOVED * VEHICLES)
        assert sorted([*stay.vehicles, *go.vehicles]) == sorted(first.vehicles)
        (_, moved), (_, left) = condition.by_vehicle
        assert moved == set(go.vehicles.tolist())
        assert left == set(stay.vehicles.tolist())
        for _, gallery in condition.trial.searches:
            assert len(gallery) == VEHICLES


def test_the_seed_decides_which_vehicles_are_before_a_virtual_camera() -> None:
    def moved(seed: int) -> list[list[str]]:
        found = TwoCameras.of(images()).conditions(Kind.mixed, Recorder(), seed)
        return [condition.trial.parts[2].vehicles.tolist() for condition in found]

    assert moved(0) == moved(0)
    assert moved(0) != moved(1)
    assert len({tuple(each) for each in moved(0)}) > 1


@pytest.mark.parametrize(("kind", "changes"), [(Kind.degraded, DEGRADATIONS), (Kind.occluded, OCCLUSIONS)])
def test_degraded_images_are_queries_alone_and_stay_out_of_statistics(
    kind: Kind, changes: dict[str, object]
) -> None:
    embed = Recorder()
    conditions = list(TwoCameras.of(images()).conditions(kind, embed, 0))
    assert [condition.names for condition in conditions] == [(f"degraded: {change}",) for change in changes]
    for condition in conditions:
        trial = condition.trial
        assert trial.known == 2
        for queries, gallery in trial.searches:
            assert queries.min() >= 2 * VEHICLES > gallery.max()
    assert sum(each.change is not None for each in embed.sets.values()) == 2 * len(changes)


def test_occlusions_are_measured_only_where_they_are_asked_for() -> None:
    assert set(Kind) - set(UNASKED) == {Kind.occluded}
    assert list(OCCLUSIONS) == ["occlusion 20 %", "occlusion 40 %", "occlusion 60 %", "occlusion 80 %"]


@pytest.mark.parametrize("cameras", [("cam1",), ("cam1", "cam2", "cam3"), ("", "cam1")])
def test_virtual_cameras_need_two_known_cameras(cameras: tuple[str, ...]) -> None:
    given = [VehicleImage(Path(f"{camera}.jpg"), "v", camera) for camera in cameras]
    with pytest.raises(DatasetError, match="one of two cameras; there are"):
        TwoCameras.of(given)


def test_distractors_are_searched_and_search_nothing() -> None:
    gallery = images()
    task = Task("synthetic", [i for i in gallery if i.vehicle_id < "v10"], gallery)
    result = cross_camera_condition(task, Recorder()).trial.measure(None)[Variant.first]
    assert len(result.queries) == 20
    assert result.gallery == 2 * VEHICLES


def test_a_drawn_gallery_is_refused() -> None:
    with pytest.raises(DatasetError, match="gallery is drawn"):
        cross_camera_condition(Task("test800", images(), None), Recorder())


def test_class_retrieval_has_no_cameras() -> None:
    given = [VehicleImage(Path(f"{n}.jpg"), f"v{n % 4:02}", "") for n in range(12)]
    found = class_condition(given, Recorder(), "classes").trial.measure(None)
    assert list(found) == [Variant.first]
    assert [ranks.tolist() for ranks in found[Variant.first].ranks] == [[1, 2]] * 12
