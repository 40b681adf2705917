"""Which images `tune` is timed on."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tuning import chosen
from training.datasets.image import VehicleImage


def test_a_vehicle_gives_four_images_of_its_cameras_in_turn_and_one_of_a_single_camera_gives_none() -> None:
    def taken(vehicle: str, **cameras: int) -> list[VehicleImage]:
        return [
            VehicleImage(Path(f"{vehicle}_{camera}_{number}.jpg"), vehicle, camera)
            for camera, count in cameras.items()
            for number in range(count)
        ]

    images = [*taken("a", c1=2, c2=4, c3=1), *taken("b", c1=4), *taken("c", c1=1, c2=2)]
    assert [image.path.name for image in chosen(images)] == [
        "a_c2_0.jpg",
        "a_c1_0.jpg",
        "a_c3_0.jpg",
        "a_c2_1.jpg",
    ]
