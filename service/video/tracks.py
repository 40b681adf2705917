"""A vehicle through the frames of a video: what was seen of it, and its best crops."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from models.detection.crop import cut, with_margin
from models.detection.vehicle import Box, VehicleType
from service.video.reading import VideoFrame

EVIDENCE = 0.6
"""The three best scores of a track together, from which on it is a vehicle, not another thing that moves."""
LEAST_SIGHTINGS = 3
AT_EDGE = 0.25
"""What a crop is worth that the frame's edge cuts, to one that is whole."""
WORTH_KEEPING = 0.25
"""Share of the best crop's worth that another one needs."""
APART_S = 0.5
"""s between two crops of one track."""
CANDIDATES = 4
"""Crops that are kept for one that is wanted: the best ones may be too near each other in time."""


@dataclass(frozen=True)
class Sighting:
    """A track's box in one frame.

    Attributes:
        box: px.
        score: the detector's; 0 where only motion was seen.
        type: the detector's; None where only motion was seen.
    """

    box: Box
    score: float = 0.0
    type: VehicleType | None = None


@dataclass(frozen=True)
class BestCrop:
    """A crop of a track.

    Attributes:
        frame: its number.
        seconds: from the video's beginning.
        quality: larger is better.
        image: RGB.
        score: the detector's, 0 where only motion was seen.
    """

    frame: int
    seconds: float
    quality: float
    image: Image.Image
    score: float

    def file(self) -> bytes:
        """The crop as a JPEG file."""
        return cut(self.image, Box(0, 0, *self.image.size))


@dataclass
class Track:
    """What was seen of one thing.

    Attributes:
        first: number of the frame in which it was first followed.
        wanted: crops of it, at most.
        seen_s: s from the video's beginning to the last frame in which it was seen.
        sightings: how often.
    """

    first: int
    wanted: int = 1
    seen_s: float = 0.0
    sightings: int = 0
    _candidates: dict[int, BestCrop] = field(default_factory=dict)
    _scores: list[float] = field(default_factory=list)
    _types: dict[VehicleType, float] = field(default_factory=dict)

    @property
    def evidence(self) -> float:
        """How sure the detector is, in its three surest frames together."""
        return sum(self._scores)

    @property
    def type(self) -> VehicleType | None:
        """What the detector took it for most surely; None where it never saw it."""
        return max(self._types, key=lambda kind: self._types[kind], default=None)

    @property
    def best(self) -> list[BestCrop]:
        """Its crops, the best first, apart in time; what is far worse than the best is left out."""
        chosen: list[BestCrop] = []
        for crop in sorted(self._candidates.values(), key=lambda crop: -crop.quality):
            if len(chosen) == self.wanted or (chosen and crop.quality < WORTH_KEEPING * chosen[0].quality):
                break
            if all(abs(crop.seconds - other.seconds) >= APART_S for other in chosen):
                chosen.append(crop)
        return chosen

    @property
    def is_vehicle(self) -> bool:
        """Whether there is evidence enough."""
        return self.evidence >= EVIDENCE and self.sightings >= LEAST_SIGHTINGS

    def add(self, frame: VideoFrame, sighting: Sighting, margin: float) -> None:
        """Note a sighting, and keep its crop if it is among the best."""
        self.seen_s = frame.seconds
        self.sightings += 1
        if sighting.type is not None:
            self._scores = sorted([*self._scores, sighting.score], reverse=True)[:3]
            self._types[sighting.type] = self._types.get(sighting.type, 0.0) + sighting.score
        quality, period = worth(sighting, frame.image.size), int(frame.seconds / APART_S)
        known = self._candidates.get(period)
        if known is not None and known.quality >= quality:
            return
        if known is None and len(self._candidates) >= CANDIDATES * self.wanted:
            worst = min(self._candidates, key=lambda period: self._candidates[period].quality)
            if self._candidates[worst].quality >= quality:
                return
            del self._candidates[worst]
        region = with_margin(sighting.box, margin, *frame.image.size)
        image = frame.image.crop((region.x, region.y, region.x + region.width, region.y + region.height))
        self._candidates[period] = BestCrop(frame.number, frame.seconds, quality, image, sighting.score)


def worth(sighting: Sighting, size: tuple[int, int]) -> float:
    """How good a crop is: its area in px, more where the detector is sure, less at the frame's edge."""
    box, (width, height) = sighting.box, size
    is_whole = box.x > 1 and box.y > 1 and box.x + box.width < width - 1 and box.y + box.height < height - 1
    return box.area * (0.5 + 0.5 * min(1.0, 2 * sighting.score)) * (1.0 if is_whole else AT_EDGE)
