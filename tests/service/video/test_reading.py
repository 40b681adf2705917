"""Reading videos: numbers, times and steps of frames, and files that are none or end early."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from service.video.looking import step_for
from service.video.reading import ImageSeries, VideoError, VideoFile, _moment
from tests.service.video.drives import FOUR_CARS, SIZE, drive, road, write_video


def test_a_video_says_how_many_frames_it_has_and_how_fast_they_are() -> None:
    video = VideoFile(FOUR_CARS)
    assert (video.rate, video.frames, video.begun) == (12.5, 195, None)
    first, second = islice(video.read(), 2)
    assert (first.number, first.seconds, first.image.size) == (0, 0, (768, 432))
    assert (second.number, second.seconds, second.image.mode) == (1, 0.08, "RGB")


def test_frames_can_be_left_out() -> None:
    numbers = [frame.number for frame in islice(VideoFile(FOUR_CARS).read(7, 3), 4)]
    assert numbers == [7, 10, 13, 16]


@pytest.mark.parametrize(("rate", "step"), [(12.5, 1), (15, 1), (25, 2), (30, 2), (60, 4), (1, 1)])
def test_of_fast_videos_every_so_manyth_frame_is_looked_at(rate: float, step: int) -> None:
    assert step_for(rate, 15) == step


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for path in (tmp_path / "text.mp4", tmp_path / "gone.mp4"):
        with pytest.raises(VideoError, match=f"{path.name}: "):
            VideoFile(path)


def test_a_video_that_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.avi", drive(empty=10))
    whole = len(list(VideoFile(path).read()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < readable(path) < whole


def readable(path: Path) -> int:
    """Frames that are given before the end, or before an error."""
    count = 0
    with suppress(VideoError):
        for _ in VideoFile(path).read():
            count += 1
    return count


def test_images_in_the_order_of_their_names_are_a_video(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03d}.png" for number in range(5)]
    for path in paths:
        road().save(path)
    series = ImageSeries(paths, 10)
    assert (series.rate, series.frames) == (10, 5)
    frames = list(series.read(1, 2))
    assert [(frame.number, frame.seconds) for frame in frames] == [(1, 0.1), (3, 0.3)]
    assert frames[0].image.size == SIZE
    paths[3].write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"003\.png"):
        list(series.read())


def test_only_moments_that_can_be_are_believed() -> None:
    assert _moment("2018-04-19T22:46:00.000000Z") == datetime(2018, 4, 19, 22, 46, tzinfo=UTC)
    for text in (None, "", "yesterday", "1904-01-01T00:00:00Z", "2018-04-19T22:46:00"):
        assert _moment(text) is None
