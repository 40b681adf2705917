"""The sums of cameras behave alike in SQLite and in the shared store, and two replicas lose none."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.cameras.sums import Sums
from index.shared import SharedCameraSums, SharedStore
from index.shared.cameras import DamagedSumsError
from tests.index.samples import DIM
from tests.index.shared.conftest import CameraHome, wait_until_gone
from tests.service.redis_server import DURABLE, redis_server


def descriptors(count: int, seed: int = 0) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    unit: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def test_enrolled_images_are_counted_by_camera_and_leave_nothing_behind(camera_home: CameraHome) -> None:
    images = descriptors(5)
    cameras = ["gate", None, "gate", "south:1", None]
    camera_home.sums.enrolled(cameras, list(images))
    found = camera_home.read()
    assert list(found) == ["", "gate", "south:1"]
    assert found["gate"].enrolled == Sums.of(images[[0, 2]])
    assert found[""].enrolled == Sums.of(images[[1, 4]])
    camera_home.sums.deleted(["gate", None], [images[0], images[1]])
    assert camera_home.read()["gate"].enrolled == Sums.of(images[[2]])
    camera_home.sums.deleted(["gate", "south:1", None], [images[2], images[3], images[4]])
    assert camera_home.read() == {}


def test_a_calibration_counts_each_file_once_and_can_be_forgotten(camera_home: CameraHome) -> None:
    one, two = descriptors(2)
    assert camera_home.sums.calibrate("gate", one, b"1" * 32)
    assert not camera_home.sums.calibrate("gate", one, b"1" * 32)
    assert camera_home.sums.calibrate("gate", two, b"2" * 32)
    camera_home.sums.enrolled(["gate"], [one])
    known = camera_home.read()["gate"]
    assert known.calibrated == Sums.of(np.stack([one, two]))
    assert known.pooled.count == 3
    assert camera_home.sums.forget_calibration("gate")
    assert not camera_home.sums.forget_calibration("gate")
    assert camera_home.read()["gate"].calibrated.count == 0
    assert camera_home.sums.calibrate("gate", one, b"1" * 32)


def test_begun_anew_a_calibration_is_of_the_new_image_alone(camera_home: CameraHome) -> None:
    one, two, three = descriptors(3)
    camera_home.sums.enrolled(["gate"], [three])
    assert camera_home.sums.calibrate("gate", one, b"1" * 32, anew=True)
    assert camera_home.sums.calibrate("gate", two, b"2" * 32)
    assert camera_home.sums.calibrate("south", two, b"2" * 32)
    # Also with an image that was counted already.
    assert camera_home.sums.calibrate("gate", two, b"2" * 32, anew=True)
    known = camera_home.read()
    assert known["gate"].calibrated == Sums.of(two[np.newaxis])
    assert known["gate"].enrolled == Sums.of(three[np.newaxis])
    assert known["south"].calibrated == Sums.of(two[np.newaxis])
    assert camera_home.sums.calibrate("gate", one, b"1" * 32)
    assert not camera_home.sums.calibrate("gate", two, b"2" * 32)


def test_what_the_sums_were_with_images_that_are_gone_leaves_the_file_of_the_store(tmp_path: Path) -> None:
    image, calibration, former = descriptors(3)
    written = [Sums.of(each[np.newaxis]).to_bytes() for each in (image, calibration, former)]
    with redis_server(tmp_path, None, **DURABLE) as server:
        for number, change in enumerate(("deletion", "calibration", "calibration anew")):
            with closing(SharedStore(server.url, "test", timeout_s=5)) as store:
                its = SharedCameraSums(store, "c1", DIM, store.rewriting.wanted)
                if change == "deletion":
                    its.enrolled(["gate"], [image])
                    its.deleted(["gate"], [image])
                elif change == "calibration anew":
                    assert its.calibrate("south", former, b"1" * 32)
                    assert its.calibrate("south", image, b"2" * 32, anew=True)
                else:
                    assert its.calibrate("gate", calibration, b"1" * 32)
                    assert its.forget_calibration("gate")
                assert any(written[number] in file.read_bytes() for file in tmp_path.rglob("*.aof"))
            wait_until_gone(tmp_path, written[number])


def test_two_replicas_that_enroll_at_once_are_both_counted(connect: Callable[[], SharedStore]) -> None:
    replicas = [SharedCameraSums(connect(), "c1", DIM) for _ in range(2)]
    images = descriptors(80)

    def enroll(number: int) -> None:
        replicas[number % 2].enrolled(["gate"], [images[number]])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enroll, range(80)))
        assert sum(pool.map(lambda at: replicas[at % 2].calibrate("gate", images[0], b"x"), range(8))) == 1
    found = replicas[0].read()["gate"]
    assert found.enrolled == Sums.of(images)
    assert found.calibrated.count == 1


def test_sums_that_are_not_as_written_are_refused_by_name_and_can_be_replaced(store: SharedStore) -> None:
    its = SharedCameraSums(store, "c1", DIM)
    images = descriptors(3)
    its.enrolled(["gate", "gate", "south"], list(images))
    with store.client() as client:
        client.setrange(store.key("collection", "c1", "camera", "enrolled", "gate"), 40, b"\xff")
    for change in (its.read, lambda: its.enrolled(["gate"], [images[0]])):
        with pytest.raises(DamagedSumsError, match="'gate' is damaged"):
            change()
    its.replace({"gate": Sums.of(images[:2])})
    assert its.read().keys() == {"gate"}
    assert its.read()["gate"].enrolled == Sums.of(images[:2])
