"""Clusters and tracks of crops in the place of vehicles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.datasets.image import DatasetError, VehicleImage
from training.tuning.clusters import cluster
from training.tuning.self_training import order_of_pairs
from training.tuning.tracks import at_once, with_tracks


def crops(vehicles: int, each: int, noise: float = 0.05) -> tuple[NDArray[np.float32], list[VehicleImage]]:
    """Vehicles that lie apart, their images close together, before two cameras in turn."""
    source = np.random.default_rng(0)
    centres = source.normal(size=(vehicles, 32))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    found = np.repeat(centres, each, axis=0)
    found += source.normal(size=found.shape) * noise
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    names = [(vehicle, number) for vehicle in range(vehicles) for number in range(each)]
    images = [
        VehicleImage(Path(f"{v}-{n}.jpg"), f"{v}", f"gate-{n % 2}", origin=f"{v}-{n}") for v, n in names
    ]
    return found.astype(np.float32), images


def test_images_that_lie_close_together_become_one_vehicle() -> None:
    descriptors, images = crops(12, 3)
    found = cluster(descriptors, images)
    assert found.clusters == 12
    assert found.across == 12
    of = {image.path.stem: image.vehicle_id for image in found.images}
    assert len(of) == 36
    assert {of[f"3-{n}"] for n in range(3)} == {of["3-0"]}
    assert of["3-0"] != of["4-0"]


def test_a_track_stays_together_and_tracks_at_once_stay_apart() -> None:
    descriptors, images = crops(12, 4)
    tracks = {"0-0": ("1", "0"), "0-2": ("1", "1"), "5-0": ("1", "9"), "5-2": ("7", "9"), "1-0": ("5", "3"),
              "1-2": ("6", "3")}  # fmt: skip
    known = [
        VehicleImage(
            image.path,
            image.vehicle_id,
            image.camera_id,
            track=tracks.get(image.path.stem, ("", ""))[0],
            time=tracks.get(image.path.stem, ("", ""))[1],
        )
        for image in images
    ]
    assert frozenset((("gate-0", "5"), ("gate-0", "6"))) in at_once(known)
    found = cluster(descriptors, known)
    of = {image.path.stem: image.vehicle_id for image in found.images}
    assert of["0-0"] == of["0-2"] == of["5-0"], "camera gate-0 followed one vehicle from 0 to 9"
    assert not {"1-0", "1-2"} <= of.keys() or of["1-0"] != of["1-2"], "seen at once before one camera"
    free = {image.path.stem: image.vehicle_id for image in cluster(descriptors, images).images}
    assert free["1-0"] == free["1-2"]


def test_too_few_clusters_are_refused() -> None:
    descriptors, images = crops(3, 4)
    with pytest.raises(DatasetError, match="it takes 4 to learn from"):
        cluster(descriptors, images)


def test_tracks_come_from_file_names_or_a_table(tmp_path: Path) -> None:
    names = ["track7_frame120.jpg", "a-track-08.jpg", "stray.jpg", "soundtrack7.jpg"]
    images = [VehicleImage(tmp_path / name, name, "gate") for name in names]
    assert [(i.track, i.time) for i in with_tracks(images, None)] == [
        ("7", "120"),
        ("08", ""),
        ("", ""),
        ("", ""),
    ]
    table = tmp_path / "tracks.csv"
    table.write_text("path,track,time\nstray.jpg,3,2026-05-01T12:30:00\n", encoding="utf-8")
    assert [i.track for i in with_tracks(images, table)] == ["", "", "3", ""]
    for text, message in (
        ("path,track,time\nstray.jpg,3,noon\n", "line 2: time is 'noon'; write a number"),
        ("path,track\nother.jpg,3\n", "names none of the 4 crops"),
        ("path\nstray.jpg\n", "track"),
    ):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(DatasetError, match=message):
            with_tracks(images, table)


def test_tracks_are_at_once_where_their_times_overlap_before_one_camera() -> None:
    seen = [("a", "1", "0"), ("a", "1", "10"), ("a", "2", "10"), ("a", "3", "11"), ("b", "4", "5"),
            ("a", "5", "")]  # fmt: skip
    images = [VehicleImage(Path(f"{n}.jpg"), "", c, track=t, time=w) for n, (c, t, w) in enumerate(seen)]
    assert at_once(images) == {frozenset((("a", "1"), ("a", "2")))}


def test_the_order_of_pairs_counts_ties_half() -> None:
    same = np.array([True, True, False, False])
    assert order_of_pairs(np.array([0.9, 0.8, 0.1, 0.2]), same) == 1
    assert order_of_pairs(np.array([0.1, 0.1, 0.9, 0.9]), same) == 0
    assert order_of_pairs(np.array([0.9, 0.5, 0.5, 0.6]), same) == (2 + 0.5) / 4
