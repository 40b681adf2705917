"""`lka-reid enroll --detect`: the vehicles of videos and frames, found here and enrolled as crops."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from rich.markup import escape

from lka_reid_client.errors import RefusedError
from models.decoding import ImageError, decode
from models.detection.crop import cut, with_margin
from models.intake.files import reason_of
from models.intake.folder import find_images
from models.intake.names import shown
from models.terminal import err
from models.wording import counted
from service.commands.console import progress
from service.remote.bulk_enroll import INTERRUPTED, upload_all
from service.remote.fields import why_not_fields
from service.remote.http import ServiceClient
from service.remote.outcome import Fate, NotEnrolled, Outcome
from service.remote.sources import Fields, Upload
from service.startup import CommandError, load_detector
from service.video.looking import look_through, step_for
from service.video.motion import MotionFinder
from service.video.position import Position, PositionFile
from service.video.reading import VIDEOS, ImageSeries, Video, VideoError, VideoFile
from service.video.tracking import UNSURE, Options, VehicleTracker

if TYPE_CHECKING:
    from models.detection.vehicle import Detector
    from service.video.tracks import BestCrop, Track

HELD = 16
"""Crops that are sent together, at least."""


@dataclass(frozen=True)
class HowToLook:
    """What is made of videos and frames.

    Attributes:
        detector: its folder; None for the one that is set.
        crops: of one vehicle of a video, at most.
        looks_per_s: frames of a second of a video that are looked at, about.
        start: when a video's first frame was taken; None where it is not known.
        start_in_file: take that from each video's file.
        series_rate: frames a second of folders of images that are videos; None where images stand alone.
        motion: whether what moves is followed as well.
        anew: look at videos from their beginnings, whatever was enrolled of them.
    """

    detector: Path | None = None
    crops: int = 1
    looks_per_s: float = 15.0
    start: datetime | None = None
    start_in_file: bool = False
    series_rate: float | None = None
    motion: bool = True
    anew: bool = False


@dataclass
class Spool:
    """Crops on their way: kept in a folder until they are sent, some together.

    Attributes:
        outcome: what became of each.
        vehicles: that were found.
    """

    client: ServiceClient | None
    workers: int
    folder: Path
    outcome: Outcome = field(default_factory=Outcome)
    vehicles: int = 0
    _held: list[Upload] = field(default_factory=list)

    def put(self, image: bytes, fields: dict[str, str | list[str]], place: str) -> None:
        """Take a crop, unless the service would refuse its fields."""
        if wrong := why_not_fields(fields):
            self.outcome.add(place, Fate.failed, wrong)
            return
        path = self.folder / f"{len(self._held)}.jpg"
        path.write_bytes(image)
        self._held.append(Upload(path, fields, place))

    def send(self, at_least: int = 1) -> bool:
        """Send what is held, if it is that many; False where something of it is not enrolled."""
        if len(self._held) < at_least:
            return True
        held, self._held = self._held, []
        if self.client is None:
            sent = Outcome()
            sent.extend(NotEnrolled(upload.place, Fate.enrolled, "") for upload in held)
        else:
            sent = upload_all(self.client, held, self.workers)
        self.outcome.join(sent)
        return not sent.missing and sent.stopped is None


@contextmanager
def spool(client: ServiceClient | None, workers: int) -> Iterator[Spool]:
    """A spool in a folder that is removed at the end; without a client crops count as enrolled."""
    folder = Path(mkdtemp(prefix="lka-reid-"))
    try:
        yield Spool(client, workers, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_videos(paths: Iterable[Path], series_rate: float | None) -> list[tuple[Path, str]]:
    """The videos among paths and below folders, each with the id that its vehicles' ids begin with.

    With a rate, each folder is a video of its own, whose frames are its images.
    """
    found = []
    for path in paths:
        if path.is_dir() and series_rate is not None:
            found.append((path, path.resolve().name))
        elif path.is_dir():
            inside = sorted(file for file in path.rglob("*") if is_video(file))
            found += [(file, file.relative_to(path).as_posix()) for file in inside]
        elif is_video(path):
            found.append((path, path.name))
    return found


def is_video(path: Path) -> bool:
    """Whether its name is that of a video file."""
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".") and path.is_file()


def enroll_videos(
    videos: Iterable[tuple[Path, str]], how: HowToLook, fields: Fields, prefix: str, into: Spool
) -> None:
    """Enroll the best crops of each vehicle of each video.

    Raises:
        CommandError: the detector cannot be loaded, or a package of the extra [video] is missing.
    """
    for path, name in videos:
        if into.outcome.stopped:
            into.outcome.add(shown(path), Fate.not_tried, "")
            continue
        try:
            _enroll_video(path, f"{prefix}{name}", how, fields, into)
        except VideoError as error:
            into.send()
            into.outcome.add(shown(path), Fate.failed, str(error))
        except OSError as error:
            into.outcome.add(shown(path), Fate.failed, reason_of(error))
        except KeyboardInterrupt:
            into.outcome.stopped = INTERRUPTED
        except ImportError as error:
            raise CommandError(
                f"videos need the extra [video], of which something cannot be loaded ({error}); "
                "pip install 'lka-reid[video]'; where libGL is missing, pip install opencv-python-headless "
                "in the place of opencv-python"
            ) from None


def _enroll_video(path: Path, name: str, how: HowToLook, fields: Fields, into: Spool) -> None:
    video: Video
    if how.series_rate is not None and path.is_dir():
        video = ImageSeries(find_images(path).images, how.series_rate)
    else:
        video = VideoFile(path)
    detector, margin, sure = load_detector(how.detector, least_score=UNSURE)
    start = video.begun if how.start_in_file else how.start
    step = step_for(video.rate, how.looks_per_s)
    where = None if into.client is None else [into.client.url, into.client.collection]
    decides = {"detector": str(how.detector), "crops": how.crops, "step": step, "motion": how.motion}
    said = {"name": name, "where": where, "start": str(start), "fields": dict(fields)}
    kept = PositionFile.of(path, decides | said)
    begin = Position() if how.anew or into.client is None else _begin(kept.read(), into.client, name, path)
    if begin.done:
        err.print(
            f"{shown(path)} was looked at before, {counted(begin.tracks, 'vehicle')}; --anew does it again",
            markup=False,
        )
        return
    if begin.frame:
        err.print(f"{shown(path)} goes on at {clock(begin.frame / video.rate)}", markup=False)
    tracker = VehicleTracker(
        detector,
        Options(video.rate / step, sure, margin, how.crops),
        MotionFinder() if how.motion else None,
    )
    vehicles, whole = begin.tracks, True
    with progress() as bar:
        task = bar.add_task(escape(shown(path.name)), total=video.frames, completed=begin.frame)
        for look in look_through(video, tracker, begin, step):
            for track in look.ended:
                vehicles += 1
                into.vehicles += 1
                _put(track, vehicles, name, path, start, fields, into)
            whole = into.send(1 if look.is_quiet else HELD) and whole
            if into.outcome.stopped:
                return
            if look.ended and look.is_quiet and whole and into.client is not None:
                kept.write(Position(look.frame, vehicles))
            described = f"{escape(shown(path.name))}, {counted(vehicles, 'vehicle')}"
            bar.update(task, completed=min(look.frame, video.frames or look.frame), description=described)
    if whole and into.client is not None:
        kept.write(Position(look.frame, vehicles, done=True))


def _begin(kept: Position, client: ServiceClient, name: str, path: Path) -> Position:
    """Where to go on: the beginning, where the first and the last vehicle that were enrolled are gone.

    They are with a data directory or a collection that was made anew, or after a deletion of all of them; one
    image that was deleted does not come back.
    """
    if not kept.tracks or any(_is_enrolled(client, name, number) for number in {1, kept.tracks}):
        return kept
    err.print(
        f"{shown(path)} was looked at before, but its vehicles are not enrolled any more: looking again",
        markup=False,
    )
    return Position()


def _is_enrolled(client: ServiceClient, name: str, number: int) -> bool:
    """Whether a vehicle's best crop is enrolled; taken for so where the key may not look."""
    try:
        return client.is_enrolled(_image_id(name, number))
    except RefusedError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return True
        raise


def _image_id(name: str, number: int) -> str:
    return f"{name}/{number:04d}"


def _put(
    track: Track, number: int, name: str, path: Path, start: datetime | None, fields: Fields, into: Spool
) -> None:
    """Take a track's crops, the best first."""
    for place, crop in enumerate(track.best, start=1):
        image_id = _image_id(name, number) + ("" if place == 1 else f"-{place}")
        own = _known(crop, number, start)
        if track.type is not None and "vehicle_type" not in fields:
            own["vehicle_type"] = track.type
        into.put(
            crop.file(),
            {**fields, **own, "image_id": image_id},
            f"{shown(path)}, vehicle {number:,} at {clock(crop.seconds)}",
        )


def _known(crop: BestCrop, number: int, start: datetime | None) -> dict[str, str | list[str]]:
    """What is known of a crop by its track."""
    known: dict[str, str | list[str]] = {"tags": [f"track={number}", f"time={clock(crop.seconds)}"]}
    if start is not None:
        known["captured_at"] = (start + timedelta(seconds=crop.seconds)).isoformat()
    return known


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 00:01:05.24."""
    whole, hundredths = divmod(round(100 * seconds), 100)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{hundredths:02d}"


def enroll_stills(uploads: Iterable[Upload], how: HowToLook, into: Spool) -> None:
    """Enroll every vehicle of every image, numbered below the image's id.

    Raises:
        CommandError: the detector cannot be loaded.
    """
    detector, margin, _ = load_detector(how.detector)
    waiting = list(uploads)
    with progress() as bar:
        task = bar.add_task("Frames", total=len(waiting))
        try:
            for done, upload in enumerate(waiting, start=1):
                _enroll_still(upload, detector, margin, into)
                into.send(HELD if done < len(waiting) else 1)
                if into.outcome.stopped:
                    break
                bar.update(task, completed=done, description=f"Frames, {counted(into.vehicles, 'vehicle')}")
        except KeyboardInterrupt:
            into.outcome.stopped = INTERRUPTED


def _enroll_still(upload: Upload, detector: Detector, margin: float, into: Spool) -> None:
    try:
        frame = decode(upload.path.read_bytes())
    except OSError as error:
        into.outcome.add(upload.place, Fate.failed, reason_of(error))
        return
    except ImageError as error:
        into.outcome.add(upload.place, Fate.failed, str(error))
        return
    found = detector.detect(frame)
    if not found:
        into.outcome.add(upload.place, Fate.skipped, "no vehicle was found in it")
    for number, vehicle in enumerate(found, start=1):
        into.vehicles += 1
        crop = cut(frame, with_margin(vehicle.box, margin, *frame.size))
        fields = {"vehicle_type": vehicle.type, **upload.fields, "image_id": f"{upload.image_id}/{number}"}
        into.put(crop, fields, f"{upload.place}, vehicle {number}")
