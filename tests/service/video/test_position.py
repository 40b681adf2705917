"""The position in a video, kept between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.video.position import Position, PositionFile

HOW = {"crops": 1, "url": "http://127.0.0.1:8000"}


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "gate.mp4"
    path.write_bytes(b"a video")
    return path


def test_it_is_read_as_it_was_written(video: Path) -> None:
    assert PositionFile.of(video, HOW).read() == Position()
    PositionFile.of(video, HOW).write(Position(812, 3))
    assert PositionFile.of(video, HOW).read() == Position(812, 3)


def test_another_video_another_service_and_another_way_begin_anew(video: Path) -> None:
    PositionFile.of(video, HOW).write(Position(812, 3))
    assert PositionFile.of(video, HOW | {"crops": 2}).read() == Position()
    assert PositionFile.of(video, HOW | {"url": "http://other"}).read() == Position()
    video.write_bytes(b"another video")
    assert PositionFile.of(video, HOW).read() == Position()


def test_a_damaged_file_begins_anew(video: Path, tmp_path: Path) -> None:
    PositionFile.of(video, HOW).write(Position(812, 3))
    [file] = (tmp_path / "cache").rglob("*.json")
    for text in ("", "{}", "[]", '{"frame": "x", "tracks": 1, "done": false}'):
        file.write_text(text)
        assert PositionFile.of(video, HOW).read() == Position()


def test_where_it_cannot_be_kept_nothing_fails(video: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    PositionFile.of(video, HOW).write(Position(812, 3))
    assert PositionFile.of(video, HOW).read() == Position()
