from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.shape import NetworkConfig
from tests.training.small import small_network
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.viewpoints import Viewpoints

IMAGES = [
    VehicleImage(Path(f"{camera}{view}.jpg"), "v", camera, view=view)
    for camera in ("c2", "c1", "")
    for view in ("rear", "front", "")
]


def image(camera: str, view: str = "") -> VehicleImage:
    return VehicleImage(Path("x.jpg"), "v", camera, view=view)


def test_a_viewpoint_is_camera_times_views_plus_view_as_in_training() -> None:
    found = Viewpoints.of(IMAGES, "camera-view")
    assert found is not None
    assert len(found) == 4
    assert found.numbers([image("c1", "front"), image("c1", "rear"), image("c2", "front")]) == [0, 1, 2]


def test_what_training_did_not_know_is_minus_one() -> None:
    both, camera, view = (Viewpoints.of(IMAGES, kind) for kind in ("camera-view", "camera", "view"))
    assert both is not None
    assert camera is not None
    assert view is not None
    assert both.numbers([image("c3", "front"), image("c1"), image("", "front")]) == [-1, -1, -1]
    assert camera.numbers([image("c1"), image("c2", "side"), image("")]) == [0, 1, -1]
    assert view.numbers([image("c9", "rear"), image("", "front"), image("c1")]) == [1, 0, -1]
    assert Viewpoints.of(IMAGES, "none") is None


def test_side_information_without_views_in_the_data_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no training image has a view"):
        Viewpoints.of([image("c1")], "camera-view")


def test_the_network_adds_a_vector_for_a_known_viewpoint_and_nothing_for_an_unknown_one() -> None:
    network = small_network(viewpoints=2).eval()
    assert network.side_information is not None
    with torch.no_grad():
        network.side_information[:, 1] = 1.0
    inputs = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        maps = network.maps(inputs)
        plain = network.pool(maps)
        found = network.pool(maps, torch.tensor([0, 1, -1]))
    for before, after in zip(plain, found, strict=True):
        torch.testing.assert_close(
            after - before, torch.tensor([[0.0], [1.0], [0.0]]).expand(3, before.shape[1])
        )


def test_gem_of_power_1_is_the_average_and_a_high_power_the_maximum() -> None:
    network = small_network(
        shape=NetworkConfig(width=4, depth=(1, 1, 1, 1), image_size=(32, 32), pooling="gem")
    )
    pooling = network.poolings[0]
    maps = torch.rand(2, 5, 4, 4) + 0.1
    for power, expected in ((1.0, maps.mean(dim=(2, 3))), (400.0, maps.amax(dim=(2, 3)))):
        with torch.no_grad():
            pooling.get_parameter("power").fill_(power)
            torch.testing.assert_close(pooling(maps), expected, rtol=2e-2, atol=1e-4)
