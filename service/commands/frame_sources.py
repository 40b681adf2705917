"""What `lka-reid enroll --detect` is given: its options, and the videos and images among the paths."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from models.intake.names import shown
from service.commands.console import Waits
from service.commands.enroll_frames import (
    HowToLook,
    enroll_stills,
    enroll_videos,
    find_videos,
    is_video,
    spool,
)
from service.identifiers import CapturedAt
from service.remote.http import ServiceClient
from service.remote.outcome import Outcome
from service.remote.sources import Options, SourceError, Sources, Upload, find_uploads
from service.startup import CommandError


def how_to_look(
    detector: Path | None,
    crops: int,
    looks: float,
    start: str | None,
    frame_rate: float | None,
    *,
    motion: bool,
    anew: bool,
) -> HowToLook:
    """The options of --detect. Raises CommandError."""
    moment = None
    if start is not None and start != "file":
        try:
            moment = TypeAdapter(CapturedAt).validate_python(start)
        except ValidationError as error:
            raise CommandError(f"--start {start} {error.errors()[0]['msg']}, or the word file") from None
    return HowToLook(
        detector=detector,
        crops=crops,
        looks_per_s=looks,
        start=moment,
        start_in_file=start == "file",
        series_rate=frame_rate,
        motion=motion,
        anew=anew,
    )


def find_all_videos(paths: list[Path], how: HowToLook, *, detect: bool) -> list[tuple[Path, str]]:
    """The videos that are named, or lie below folders. Raises CommandError."""
    if not detect:
        if video := next((path for path in paths if is_video(path)), None):
            raise CommandError(f"{shown(video)} is a video; give --detect to enroll the vehicles in it")
        return []
    found = find_videos(paths, how.series_rate)
    names = [name for _, name in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise CommandError(
            f"two videos would both be enrolled as {twice!r}: enroll them one after the other, each with an "
            "--id-prefix of its own"
        )
    return found


def find_stills(paths: list[Path], options: Options, videos: list[tuple[Path, str]]) -> Sources:
    """The images among the paths, videos left out. Raises SourceError."""
    taken = {path for path, _ in videos}
    others = [path for path in paths if path not in taken]
    if not others and videos:
        return Sources([], [], {})
    try:
        found = find_uploads(others, options)
    except SourceError:
        # Folders with nothing but videos.
        if videos and all(path.is_dir() for path in others):
            return Sources([], [], {})
        raise
    places = {shown(path) for path in taken}
    return Sources(
        found.uploads,
        [entry for entry in found.not_enrolled if entry.place not in places],
        found.unread_columns,
    )


def enroll_detected(
    videos: list[tuple[Path, str]],
    uploads: list[Upload],
    how: HowToLook,
    options: Options,
    url: str,
    key: str | None,
    collection: str | None,
    workers: int,
    *,
    dry_run: bool,
) -> Outcome:
    """Find the vehicles of videos and frames, and send or, in a dry run, count their crops."""
    with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
        if not dry_run:
            client.await_ready()
        with spool(None if dry_run else client, workers) as into:
            enroll_videos(videos, how, options.defaults, options.id_prefix, into)
            if uploads and not into.outcome.stopped:
                enroll_stills(uploads, how, into)
            return into.outcome
