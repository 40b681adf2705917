"""The frames of a video file, or of a folder of images in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from PIL import Image

from models.decoding import ImageError
from models.decoding.bounds import check_size
from models.decoding.imagefile import decode_frame

VIDEOS = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv"}
)
"""Endings of names that are taken for videos."""
USUAL_RATE = 25.0
"""Frames a second of a video that does not say."""


class VideoError(Exception):
    """A video that cannot be read, or not to its end; the message says where and why."""


@dataclass(frozen=True)
class VideoFrame:
    """A frame.

    Attributes:
        number: 0 is the video's first.
        seconds: from the video's beginning.
        image: RGB, upright.
    """

    number: int
    seconds: float
    image: Image.Image


class Video(Protocol):
    """Frames one after the other."""

    @property
    def rate(self) -> float:
        """Frames a second."""

    @property
    def frames(self) -> int | None:
        """How many there are, where that is known."""

    @property
    def begun(self) -> datetime | None:
        """When the first was taken, where the file says so."""

    def read(self, first: int = 0, step: int = 1) -> Iterator[VideoFrame]:
        """Every `step`th frame from number `first` on.

        Raises:
            VideoError: it cannot be read any further.
        """


class VideoFile:
    """A `Video` in a file that FFmpeg reads, by PyAV.

    Raises:
        VideoError: it is no such file.
    """

    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise VideoError(f"{path}: has no moving pictures")
                stream = container.streams.video[0]
                self._rate = float(stream.average_rate or stream.guessed_rate or USUAL_RATE)
                seconds = (container.duration or 0) / 1_000_000
                self._frames = stream.frames or round(seconds * self._rate) or None
                self._begun = _moment(container.metadata.get("creation_time"))
                check_size(stream.width, stream.height)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{path}: {error.strerror or error}") from None
        except ImageError as error:
            raise VideoError(f"{path}: {error}") from None

    @property
    def rate(self) -> float:
        """See `Video.rate`."""
        return self._rate

    @property
    def frames(self) -> int | None:
        """See `Video.frames`."""
        return self._frames

    @property
    def begun(self) -> datetime | None:
        """See `Video.begun`."""
        return self._begun

    def read(self, first: int = 0, step: int = 1) -> Iterator[VideoFrame]:
        """See `Video.read`."""
        import av

        number = -1
        try:
            with av.open(str(self._path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for number, frame in enumerate(container.decode(stream)):
                    if number < first or (number - first) % step:
                        continue
                    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
                    if frame.rotation % 360:
                        image = image.rotate(frame.rotation, expand=True)
                    yield VideoFrame(number, number / self._rate, image)
        except av.FFmpegError as error:
            raise VideoError(
                f"{self._path}: cannot be read beyond frame {number + 1:,}: {error.strerror or error}"
            ) from None


class ImageSeries:
    """A `Video` whose frames are image files.

    Args:
        images: in their order.
        rate: of them, a second.
    """

    def __init__(self, images: Sequence[Path], rate: float) -> None:
        self._images = images
        self._rate = rate

    @property
    def rate(self) -> float:
        """See `Video.rate`."""
        return self._rate

    @property
    def frames(self) -> int:
        """See `Video.frames`."""
        return len(self._images)

    @property
    def begun(self) -> None:
        """See `Video.begun`."""

    def read(self, first: int = 0, step: int = 1) -> Iterator[VideoFrame]:
        """See `Video.read`."""
        for number in range(first, len(self._images), step):
            path = self._images[number]
            try:
                image = decode_frame(path.read_bytes(), whole=True).image
            except (OSError, ImageError) as error:
                raise VideoError(f"{path}: {error}") from None
            yield VideoFrame(number, number / self._rate, image)


def _moment(text: str | None) -> datetime | None:
    """A moment with an offset from UTC; None for anything else, and for the 1904 and 1970 of unset clocks."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None and moment.year > 1990 else None
