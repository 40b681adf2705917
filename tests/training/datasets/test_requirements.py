"""What cannot be trained on or measured is said before the first step, with what can be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.requirements import require_lists, require_measurable, require_trainable

DATA = Path("own")


def images(vehicles: int, cameras: str = "ab", *, first: int = 0, repeats: int = 1) -> list[VehicleImage]:
    """Images of so many vehicles, each `repeats` times from each camera; `-` is an unknown one."""
    return [
        VehicleImage(Path(f"{number}_{camera}{repeat}.jpg"), f"v{number}", camera.strip("-"))
        for number in range(first, first + vehicles)
        for camera in cameras
        for repeat in range(repeats)
    ]


def all_against_all(found: list[VehicleImage]) -> Task:
    return Task("validation vehicles", found, found)


MEASURED = all_against_all(images(2, first=50))


@pytest.mark.parametrize(
    ("train", "tasks"),
    [
        (images(4), [MEASURED]),
        (images(4), []),
        (images(4, "a", repeats=2), []),
        (images(4, "-", repeats=2), [all_against_all(images(2, "-", first=9, repeats=2))]),
    ],
)
def test_what_can_be_trained_on_is_let_through(train: list[VehicleImage], tasks: list[Task]) -> None:
    require_trainable(DATA, train, tasks, batch_vehicles=4)


ONE_CAMERA = images(2, "a", first=9, repeats=2)
ONE_CAMERA_EACH = [*images(2, "b", first=12, repeats=2), *ONE_CAMERA]
ONE_IMAGE_EACH = [*images(2, "a", first=9), *images(2, "b", first=12)]


@pytest.mark.parametrize(
    ("train", "task", "message"),
    [
        (images(4), all_against_all(ONE_CAMERA), "all images are from camera a, and .*data.measured=false"),
        (images(4), all_against_all(ONE_CAMERA_EACH), "no vehicle was seen by two"),
        (images(4), all_against_all(ONE_IMAGE_EACH), "no vehicle has two images"),
        (images(4), Task("800", images(3, "a", first=9), None), "no vehicle has two images"),
        (images(4), Task("test", ONE_CAMERA[::2], ONE_CAMERA), "all images are from camera a"),
        (images(4), Task("test", images(2, first=9), images(2, first=12)), "no vehicle of a query is in the"),
        (images(3), MEASURED, "3 to learn from, and a batch takes 4; set batch.vehicles to 3 or fewer"),
        (images(1), MEASURED, "too few vehicles: 1 to learn from"),
        ([], MEASURED, "too few vehicles: 0 to learn from"),
        (images(4, "a"), MEASURED, "too few images: no vehicle to learn from has two"),
        (images(4), all_against_all(images(4)), "vehicle v0 is to learn from and to measure on"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_what_can_be_done(
    train: list[VehicleImage], task: Task, message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        require_trainable(DATA, train, [task], batch_vehicles=4)
    assert all(line.startswith(("own: ", "and ")) for line in str(caught.value).splitlines())


def test_all_that_is_wrong_is_said_at_once_and_of_many_the_first() -> None:
    with pytest.raises(DatasetError) as caught:
        require_trainable(DATA, images(12), [all_against_all(images(12, "a"))], batch_vehicles=20)
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "and 9 more"


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        (images(6, "a", repeats=3), "all 18 of a fold are from one camera"),
        (
            images(3),
            "of 6 of a fold at most 3 are from other cameras .* a list holds 4; lower lists.candidates to 3",
        ),
        (
            images(6)[:-4] + images(4, "a", first=9),
            "8 of a fold have one .* a step takes 10; lower training.batch to 8",
        ),
    ],
)
def test_lists_that_cannot_be_learned_from_are_refused(fold: list[VehicleImage], message: str) -> None:
    require_lists(DATA, [images(6)], [MEASURED], candidates=4, batch=10)
    with pytest.raises(DatasetError, match=message):
        require_lists(DATA, [images(6), fold], [MEASURED], candidates=4, batch=10)
    with pytest.raises(DatasetError, match="no query has a match"):
        require_lists(DATA, [images(6)], [all_against_all(images(2, "a", repeats=2))], candidates=4, batch=10)


def test_a_data_set_that_nothing_can_be_measured_on_is_refused() -> None:
    found = images(3, "a", repeats=2)
    with pytest.raises(
        DatasetError, match="own: no query has a match: nothing can be measured on all: all images"
    ):
        require_measurable(Dataset("manifest", DATA, found, [Task("all", found, found)], has_split=False))
