"""Tracks of crops: images of one vehicle that one camera followed, by file names or a CSV table."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from pathlib import Path

from models.intake.columns import Columns
from models.intake.table import TableError, read_table
from training.datasets.image import DatasetError, VehicleImage

COLUMNS = Columns(("path", "track"), ("time",), ("camera_id", "vehicle_id"))
IN_NAME = re.compile(r"(?:^|[_\-. ])track[_\-]?(\d+)(?=[_\-. ]|$)", re.IGNORECASE)
WHEN_IN_NAME = re.compile(r"(?:^|[_\-. ])frame[_\-]?(\d+)(?=[_\-. ]|$)", re.IGNORECASE)
Track = tuple[str, str]
"""Camera and number: two cameras may use the same numbers."""


def with_tracks(images: Sequence[VehicleImage], table: Path | None) -> list[VehicleImage]:
    """The images with what is known of their tracks.

    Args:
        images: crops, each with its camera.
        table: CSV with the columns path (relative to it), track and, where known, time: a number (a frame, or
            seconds) or a date and time of ISO 8601. None to read file names: `track7_frame120.jpg`.

    Raises:
        DatasetError: the table cannot be read, names none of the images, or a time is neither.
    """
    if table is None:
        return [_by_name(image) for image in images]
    try:
        found = read_table(table, COLUMNS)
    except TableError as error:
        raise DatasetError(str(error)) from None
    if found.faults:
        raise DatasetError(f"{table}, line {found.faults[0].line}: {found.faults[0].reason}")
    known: dict[Path, tuple[str, str]] = {}
    for row in found.rows:
        when = row.values.get("time", "")
        if when and moment(when) is None:
            raise DatasetError(
                f"{table}, line {row.line}: time is {when!r}; write a number, or a date and time as "
                "2026-05-01T12:30:00"
            )
        known[(table.parent / row.values["path"]).resolve()] = (row.values["track"], when)
    listed = [known.get(image.path.resolve(), ("", "")) for image in images]
    if not any(track for track, _ in listed):
        raise DatasetError(f"{table}: names none of the {len(images):,} crops; paths are relative to it")
    return [
        replace(image, track=track, time=when) for image, (track, when) in zip(images, listed, strict=True)
    ]


def track_of(image: VehicleImage) -> Track | None:
    """The track that an image belongs to, or None."""
    return (image.camera_id, image.track) if image.track else None


def at_once(images: Sequence[VehicleImage]) -> set[frozenset[Track]]:
    """Pairs of tracks that one camera followed at the same time: of two vehicles, therefore."""
    spans: dict[str, dict[Track, tuple[float, float]]] = defaultdict(dict)
    for image in images:
        track, when = track_of(image), moment(image.time)
        if track is None or when is None:
            continue
        first, last = spans[image.camera_id].get(track, (when, when))
        spans[image.camera_id][track] = (min(first, when), max(last, when))
    return {
        frozenset((one, other))
        for of_camera in spans.values()
        for (one, a), (other, b) in combinations(of_camera.items(), 2)
        if a[0] <= b[1] and b[0] <= a[1]
    }


def moment(text: str) -> float | None:
    """A time as a number, or None where it is none."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _by_name(image: VehicleImage) -> VehicleImage:
    track, when = IN_NAME.search(image.path.stem), WHEN_IN_NAME.search(image.path.stem)
    if track is None:
        return image
    return replace(image, track=track.group(1), time=when.group(1) if when else "")
