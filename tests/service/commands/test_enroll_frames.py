"""`lka-reid enroll --detect`: videos by their tracks, images by their vehicles, and runs that end early."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from service.commands import enroll_frames
from service.commands.enroll_frames import clock
from service.video.position import Position, PositionFile
from tests.models.detection.scenes import FRAME, file_of, scene
from tests.service.command_line import Command, command_runner
from tests.service.fakes import Running
from tests.service.video.drives import drive, road, write_video

CARS = ("car_0005_cam1.jpg", "car_0007_cam1.jpg")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return command_runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cars, one after the other."""
    return write_video(tmp_path_factory.mktemp("videos") / "gate.avi", drive(CARS))


def counts(run: Command, *arguments: object) -> dict[str, int]:
    outcome = run("enroll", *arguments, "--json")
    found: dict[str, int] = json.loads(outcome.out)["counts"]
    return {fate: count for fate, count in found.items() if count}


def enrolled(service: Running) -> dict[str, dict[str, object]]:
    records = service.client.get("/gallery").json()["records"]
    return {record["image_id"]: record for record in records}


@pytest.mark.slow
def test_each_vehicle_of_a_video_is_enrolled_once_with_time_and_track(
    service: Running, run: Command, video: Path
) -> None:
    options = ("--detect", "--camera-id", "gate-3", "--start", "2026-05-17T08:30:00+02:00")
    assert counts(run, video, *options, "--url", service.url) == {"enrolled": 2}
    records = enrolled(service)
    assert list(records) == ["gate.avi/0001", "gate.avi/0002"]
    first, second = records.values()
    assert first["camera_id"] == "gate-3"
    assert first["captured_at"] < second["captured_at"]  # type: ignore[operator]
    assert str(first["captured_at"]).startswith("2026-05-17T06:30:0")
    assert (first["vehicle_type"], second["vehicle_type"]) == ("car", "car")
    assert first["tags"][0] == "track=1"  # type: ignore[index]
    assert str(first["tags"][1]).startswith("time=00:00:0")  # type: ignore[index]

    # Done again there is nothing to do; from the beginning everything is there as it was.
    assert "looked at before, 2 vehicles" in run("enroll", video, *options, "--url", service.url).err
    other = counts(run, video, "--detect", "--camera-id", "gate-4", "--url", service.url)
    assert other == {"other_fields_enrolled": 2}
    assert counts(run, video, *options, "--anew", "--url", service.url) == {"already_enrolled": 2}

    # One that was deleted stays so; where all are gone the gallery is another one.
    service.client.delete("/gallery/gate.avi/0001")
    assert "looked at before, 2 vehicles" in run("enroll", video, *options, "--url", service.url).err
    service.client.delete("/gallery/gate.avi/0002")
    assert counts(run, video, *options, "--url", service.url) == {"enrolled": 2}


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_no_vehicle_was_under_way(
    service: Running, run: Command, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Position] = []
    write = PositionFile.write

    def interrupted(self: PositionFile, position: Position) -> None:
        write(self, position)
        kept.append(position)
        if len(kept) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(PositionFile, "write", interrupted)
    outcome = run("enroll", video, "--detect", "--url", service.url)
    assert outcome.code == 130
    assert list(enrolled(service)) == ["gate.avi/0001"]
    assert kept[0].tracks == 1

    outcome = run("enroll", video, "--detect", "--url", service.url, "--json")
    assert f"goes on at {clock(kept[0].frame / 12)}" in outcome.err
    assert json.loads(outcome.out)["counts"]["enrolled"] == 1
    assert list(enrolled(service)) == ["gate.avi/0001", "gate.avi/0002"]
    assert kept[-1].done


@pytest.mark.slow
def test_a_folder_is_a_video_where_its_frames_are(service: Running, run: Command, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number, image in enumerate(drive()):
        image.save(tmp_path / "frames" / f"{number:04d}.jpg", quality=90)
    options = ("--detect", "--frame-rate", "12", "--crops", "2", "--url", service.url)
    assert counts(run, tmp_path / "frames", *options)["enrolled"] in (1, 2)
    assert "frames/0001" in enrolled(service)


@pytest.mark.slow
def test_each_vehicle_of_each_image_is_enrolled(service: Running, run: Command, tmp_path: Path) -> None:
    (tmp_path / "frames" / "north").mkdir(parents=True)
    (tmp_path / "frames" / "north" / "a.png").write_bytes(file_of(scene()[0]))
    (tmp_path / "frames" / "b.jpg").write_bytes(FRAME.read_bytes())
    (tmp_path / "frames" / "empty.png").write_bytes(file_of(road()))
    (tmp_path / "frames" / "broken.jpg").write_bytes(FRAME.read_bytes()[:500])
    arguments = (tmp_path / "frames", "--detect", "--camera-id", "c", "--url", service.url)
    assert counts(run, *arguments) == {"enrolled": 4, "skipped": 1, "failed": 1}
    records = enrolled(service)
    assert sorted(records) == ["b.jpg/1", "north/a.png/1", "north/a.png/2", "north/a.png/3"]
    assert {record["camera_id"] for record in records.values()} == {"c"}
    image = Image.open(io.BytesIO(service.client.get("/gallery/b.jpg/1/image").content))
    assert image.size[0] < 300
    assert counts(run, *arguments) == {"already_enrolled": 4, "skipped": 1, "failed": 1}


def test_a_dry_run_sends_nothing(service: Running, run: Command) -> None:
    assert counts(run, FRAME, "--detect", "--dry-run", "--url", "http://127.0.0.1:1") == {"enrolled": 1}
    assert service.gallery.count() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "is a video; give --detect"),
        (("--detect", "--start", "today"), "--start today is not a time"),
        (
            ("--detect", "--camera-id", ".."),
            "--camera-id or --vehicle-type is not accepted: camera_id is '..'",
        ),
        (("--detect", "--id-prefix", "//"), "--id-prefix, --vehicle-id"),
        (("--detect", "--detector", "gone"), "gone/manifest.json: No such file"),
    ],
)
def test_what_is_wrong_is_said(
    shared_service: Running, run: Command, video: Path, arguments: tuple[str, ...], said: str
) -> None:
    outcome = run("enroll", video, *arguments, "--url", shared_service.url)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_file_that_is_no_video_fails_and_the_others_go_on(
    service: Running, run: Command, tmp_path: Path
) -> None:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "gate" / "frame.jpg").write_bytes(FRAME.read_bytes())
    outcome = run("enroll", tmp_path / "gate", "--detect", "--url", service.url, "--json")
    assert outcome.code == 1
    found = json.loads(outcome.out)
    assert (found["counts"]["enrolled"], found["counts"]["failed"]) == (1, 1)
    assert "Invalid data" in found["not_enrolled"][0]["reason"]


def test_a_missing_package_is_named(
    shared_service: Running, run: Command, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(enroll_frames, "VideoFile", missing)
    outcome = run("enroll", video, "--detect", "--url", shared_service.url)
    assert outcome.code == 2
    assert "libGL.so.1" in outcome.err
    assert "lka-reid[video]" in outcome.err


def test_two_videos_of_one_name_are_refused(shared_service: Running, run: Command, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "gate.mp4").write_bytes(b"x")
    outcome = run(
        "enroll",
        tmp_path / "a" / "gate.mp4",
        tmp_path / "b" / "gate.mp4",
        "--detect",
        "--url",
        shared_service.url,
    )
    assert outcome.code == 2
    assert "two videos would both be enrolled as 'gate.mp4'" in outcome.err


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00.00"), (65.239, "00:01:05.24"), (3599.999, "01:00:00.00")]
)
def test_times_are_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
