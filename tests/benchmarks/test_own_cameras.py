"""The transcript of the whole way: its layouts, and what must not stand in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.adaptation import Grouped, answer, halves, write_crops, write_half, write_tracks
from benchmarks.own_cameras import Transcript, chosen, write_vehicles
from training.datasets.image import VehicleImage
from training.datasets.layouts import open_dataset
from training.tuning.crops import CameraFrom, read_crops
from training.tuning.tracks import track_of, with_tracks


@pytest.fixture
def images(tmp_path: Path) -> list[VehicleImage]:
    """Four vehicles before two cameras and one before a single one; files that nobody decodes."""
    found = []
    for vehicle in range(5):
        for camera in ("c1", "c2")[: 1 if vehicle == 4 else 2]:
            path = tmp_path / f"{vehicle}_{camera}.jpg"
            path.write_bytes(f"{vehicle} {camera}".encode())
            found.append(VehicleImage(path, f"v{vehicle}", camera, group="g" if vehicle < 2 else ""))
    return found


def test_the_three_layouts_hold_the_same_images(images: list[VehicleImage], tmp_path: Path) -> None:
    wanted = chosen(images)
    assert {image.vehicle_id for image in wanted} == {"v0", "v1", "v2", "v3"}
    write_vehicles(tmp_path / "vehicles", wanted)
    table = write_half(tmp_path / "table", wanted)
    known = {(image.vehicle_id, image.camera_id) for image in wanted}
    for data in (tmp_path / "vehicles", table):
        found = open_dataset(data).images()
        assert {(image.vehicle_id, image.camera_id) for image in found} == known
    truth = write_crops(tmp_path / "crops", wanted)
    assert {path.parent.name for path in truth} == {"c1", "c2"}
    assert not any(vehicle in path.name for path, vehicle in truth.items()), "no name is left"
    one, other = list(truth)[:2]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"first,second,same\n{one},{one},\n{one},{other},\n", encoding="utf-8")
    answer(pairs, truth)
    said = "yes" if truth[one] == truth[other] else "no"
    assert [line.rsplit(",", 1)[1] for line in pairs.read_text().splitlines()[1:]] == ["yes", said]


def test_a_tracker_knows_the_images_of_a_vehicle_before_one_camera(
    images: list[VehicleImage], tmp_path: Path
) -> None:
    truth = write_crops(tmp_path / "crops", [*images, images[0]])
    write_tracks(tmp_path / "tracks.csv", truth)
    crops = read_crops(tmp_path / "crops", CameraFrom.folder)
    found = [(track_of(crop), crop) for crop in with_tracks(crops, tmp_path / "tracks.csv")]
    by_track = {track: (truth[crop.path.resolve()], crop.camera_id) for track, crop in found}
    assert len(found) == 10
    assert len(by_track) == len(set(by_track.values())) == 9, "two images of v0 before c1 are one track"
    assert all(by_track[track] == (truth[crop.path.resolve()], crop.camera_id) for track, crop in found)


def test_clusters_are_judged_by_the_names_that_they_were_made_without(
    images: list[VehicleImage], tmp_path: Path
) -> None:
    crops = tmp_path / "crops"
    truth = write_crops(crops, images)
    of = {(vehicle, path.parent.name): path.relative_to(crops).as_posix() for path, vehicle in truth.items()}
    clusters = {of["v0", "c1"]: "a", of["v0", "c2"]: "a", of["v1", "c1"]: "b", of["v2", "c2"]: "b"}
    (tmp_path / "clusters.json").write_text(json.dumps({"clusters": clusters}), encoding="utf-8")
    found = Grouped.read("level 2", tmp_path / "clusters.json", crops, truth)
    assert found == Grouped("level 2", clusters=2, pure=1, found=1, of=4, mixed=1)


def test_halves_share_no_vehicle_and_keep_groups_together(images: list[VehicleImage]) -> None:
    one, other = ({image.vehicle_id for image in half} for half in halves(images))
    assert one | other == {"v0", "v1", "v2", "v3", "v4"}
    assert not one & other
    assert {"v0", "v1"} <= one or {"v0", "v1"} <= other


def test_a_transcript_with_a_path_of_the_machine_is_refused(tmp_path: Path) -> None:
    made = Transcript(tmp_path, tmp_path / "out.txt", ["$ lka-reid version", "lka-reid 1"])
    assert made.text() == "$ lka-reid version\nlka-reid 1\n"
    made.say(f"in {tmp_path.resolve()}")
    with pytest.raises(SystemExit, match="stands in the transcript"):
        made.text()
