"""From frames to tracks: the detector, what moves, and ByteTrack (Zhang et al., ECCV 2022) over both.

ByteTrack is the package `trackers`. Boxes of which the detector is sure begin tracks, and so does what moves;
unsure ones continue them. A track counts as a vehicle only where the detector has seen one in it, so that
what else moves, people or branches, comes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.detection.vehicle import Box, Detector, Vehicle
from service.video.motion import MotionFinder
from service.video.reading import VideoFrame
from service.video.tracks import Sighting, Track

UNSURE = 0.1
"""The least score of a box that continues a track."""
SAME = 0.4
"""Intersection over union from which on a box and what moves are the same thing."""
INSIDE = 0.6
"""Share of a box from which on it is inside what moves, which then is several things."""
LEAST_OVERLAP = 0.1
"""Intersection over union of a track's expected box and the one that continues it."""
LOST_S = 1.5
"""s after which a track that nothing continues has ended."""
IDLE_S = 1.0
"""s between two looks of the detector where nothing moves and no track goes on."""


@dataclass(frozen=True)
class Options:
    """How tracks are made.

    Attributes:
        rate: frames a second that are looked at.
        sure: score of a box that begins a track.
        margin: of crops, as a share of the box on each side.
        crops: of one track, at most.
    """

    rate: float
    sure: float
    margin: float
    crops: int = 1


class VehicleTracker:
    """Frames of one camera in their order -> tracks of vehicles as they end.

    Args:
        detector: one that also answers unsure boxes, down to UNSURE.
        options: see there.
        motion: what finds what moves; None to follow detections alone, where the camera moves.
    """

    def __init__(self, detector: Detector, options: Options, motion: MotionFinder | None) -> None:
        from trackers import ByteTrackTracker

        self._detector = detector
        self._options = options
        self._motion = motion
        self._tracks: dict[int, Track] = {}
        self._looked_s = -IDLE_S
        # Its buffer counts frames of 30 a second.
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(30 * LOST_S),
            frame_rate=options.rate,
            track_activation_threshold=options.sure,
            high_conf_det_threshold=options.sure,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=LEAST_OVERLAP,
        )

    @property
    def is_quiet(self) -> bool:
        """Whether no track goes on."""
        return not self._tracks

    def learn(self, frame: VideoFrame) -> None:
        """See the background of a frame, and nothing else of it."""
        if self._motion is not None:
            self._motion.find(frame.image)

    def look(self, frame: VideoFrame) -> list[Track]:
        """Look at a frame; the vehicles whose tracks have ended before it."""
        moving = [] if self._motion is None else self._motion.find(frame.image)
        vehicles: list[Vehicle] = []
        if moving or self._tracks or frame.seconds - self._looked_s >= IDLE_S or self._motion is None:
            vehicles = self._detector.detect(frame.image)
            self._looked_s = frame.seconds
        self._note(frame, sightings(vehicles, moving, self._options.sure))
        patience = LOST_S * self._options.rate
        return self._take(
            number for number, track in self._tracks.items() if self._age(frame, track) > patience
        )

    def end(self) -> list[Track]:
        """The video has ended; the vehicles whose tracks had not."""
        return self._take(iter(self._tracks))

    def _age(self, frame: VideoFrame, track: Track) -> float:
        """Frames looked at since a track was seen."""
        return (frame.seconds - track.seen_s) * self._options.rate

    def _take(self, numbers: Iterator[int]) -> list[Track]:
        ended = [self._tracks.pop(number) for number in list(numbers)]
        return sorted((track for track in ended if track.is_vehicle), key=lambda track: track.first)

    def _note(self, frame: VideoFrame, seen: Sequence[Sighting]) -> None:
        """Give each sighting to its track."""
        import supervision

        corners = np.array([_corners(sighting.box) for sighting in seen], dtype=np.float64).reshape(-1, 4)
        confidence = [sighting.score if sighting.type else self._options.sure for sighting in seen]
        found = self._tracker.update(
            supervision.Detections(
                xyxy=corners,
                confidence=np.array(confidence, dtype=np.float64),
                data={"place": np.arange(len(seen))},
            )
        )
        places = found.data.get("place")
        if found.tracker_id is None or places is None:
            return
        for number, place in zip(found.tracker_id, places, strict=True):
            if number >= 0:
                track = self._tracks.setdefault(int(number), Track(frame.number, self._options.crops))
                track.add(frame, seen[int(place)], self._options.margin)


def sightings(vehicles: Sequence[Vehicle], moving: Sequence[Box], sure: float) -> list[Sighting]:
    """What was seen in a frame, each thing once: the detector's boxes, and what moves where it sees none."""
    found = [Sighting(vehicle.box, vehicle.score, vehicle.type) for vehicle in vehicles]
    boxes = [vehicle.box for vehicle in vehicles]
    surely = [vehicle.box for vehicle in vehicles if vehicle.score >= sure]
    for box in moving:
        is_known = any(_overlap(box, other) >= SAME for other in boxes)
        is_several = any(_shared(box, other) >= INSIDE * other.area for other in surely)
        if not is_known and not is_several:
            found.append(Sighting(box))
    return found


def _corners(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.x + box.width, box.y + box.height


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    shared = _shared(one, other)
    return shared / (one.area + other.area - shared)


def _shared(one: Box, other: Box) -> int:
    """px that two boxes have in common."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(0, across) * max(0, down)
