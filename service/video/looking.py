"""Looking through a video: from its frames to tracks as they end, from where another run stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.video.motion import HISTORY
from service.video.position import Position
from service.video.reading import Video
from service.video.tracking import VehicleTracker
from service.video.tracks import Track


@dataclass(frozen=True)
class Look:
    """What has become known by a frame.

    Attributes:
        frame: number of the next one.
        ended: vehicles whose tracks have ended.
        is_quiet: no track goes on, so that another run may begin here.
    """

    frame: int
    ended: list[Track]
    is_quiet: bool


def step_for(rate: float, looks_per_s: float) -> int:
    """Which frames are looked at: each, or every second, third and so on."""
    return max(1, round(rate / looks_per_s))


def look_through(video: Video, tracker: VehicleTracker, begin: Position, step: int) -> Iterator[Look]:
    """Look at every `step`th frame from a position on, and last at the video's end.

    Some frames before it are read as well, so that what moves is known.

    Raises:
        VideoError: the video cannot be read any further; what was seen until then has been given.
    """
    first = max(0, begin.frame - HISTORY * step) if begin.frame else 0
    first += (begin.frame - first) % step
    last = begin.frame
    for frame in video.read(first, step):
        if frame.number < begin.frame:
            tracker.learn(frame)
            continue
        last = frame.number + step
        yield Look(last, tracker.look(frame), tracker.is_quiet)
    yield Look(last, tracker.end(), True)
