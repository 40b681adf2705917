"""Verdicts of a service as files to learn and to calibrate from.

`verdicts.csv` has a row for each pair: two image files and whether both show the same vehicle. `manifest.csv`
names vehicles, as trainings read it: images that are linked by `same` are of one vehicle, and so are enrolled
images of one `vehicle_id`. Not in it are vehicles that verdicts contradict, probes of which nobody said that
they show the same as anything, and images without a camera where others have one. Images lie in `images/`,
by the SHA-256 of their bytes.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

VERDICTS, MANIFEST, IMAGES = "verdicts.csv", "manifest.csv", "images"
PAIR_COLUMNS = (
    "probe",
    "probe_camera_id",
    "image",
    "image_id",
    "vehicle_id",
    "camera_id",
    "verdict",
    "decided_at",
    "decided_by",
)
ENDINGS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/tiff": ".tiff",
    "image/heic": ".heic",
    "image/avif": ".avif",
}


class Source(Protocol):
    """Where verdicts and images come from, such as a `ServiceClient`."""

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """All verdicts, as `GET /verdicts` has them."""

    def probe_image(self, probe: str) -> tuple[bytes, str]:
        """A probe's file and its media type."""

    def record(self, image_id: str) -> dict[str, Any]:
        """An enrolled image's record."""

    def image(self, image_id: str) -> tuple[bytes, str]:
        """An enrolled image's file and its media type."""


@dataclass(frozen=True)
class Pair:
    """A verdict with both files.

    Attributes:
        verdict: as the service has it.
        record: of the enrolled image.
        probe: the probe's file, relative to the folder.
        image: the enrolled image's file, relative to the folder.
    """

    verdict: dict[str, Any]
    record: dict[str, Any]
    probe: str
    image: str


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        pairs: verdicts.
        files: images.
        vehicles: of the manifest.
        without_camera: images that are not in the manifest because no camera is known of them.
        contradictions: vehicles that are not in it because verdicts contradict each other, in words.
    """

    pairs: int
    files: int
    vehicles: int
    without_camera: int
    contradictions: list[str]


def export(source: Source, folder: Path, on_pair: Callable[[int], None] = lambda _done: None) -> Exported:
    """Write all verdicts into a folder that is empty or not there yet.

    Raises:
        FileExistsError: something lies in the folder.
        OSError: a file cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; name a new folder")
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    pairs = list(_pairs(source, folder, on_pair))
    _write(folder / VERDICTS, PAIR_COLUMNS, map(_row, pairs))
    vehicles, contradictions = _vehicles(pairs)
    rows = [(path, name, camera) for name, images in vehicles.items() for path, camera in images.items()]
    # A training wants to know the camera of each image, or of none.
    placed = [row for row in rows if row[2] is not None]
    if placed:
        _write(folder / MANIFEST, ("path", "vehicle_id", "camera_id"), placed)
    else:
        _write(folder / MANIFEST, ("path", "vehicle_id"), (row[:2] for row in rows))
    files = {path for pair in pairs for path in (pair.probe, pair.image)}
    kept = placed or rows
    return Exported(
        len(pairs), len(files), len({name for _, name, _ in kept}), len(rows) - len(kept), contradictions
    )


def _pairs(source: Source, folder: Path, on_pair: Callable[[int], None]) -> Iterator[Pair]:
    probes: dict[str, str] = {}
    images: dict[str, tuple[dict[str, Any], str]] = {}
    for done, verdict in enumerate(source.verdicts(), start=1):
        probe, image_id = verdict["probe"], verdict["image_id"]
        if probe not in probes:
            probes[probe] = _keep(folder, *source.probe_image(probe))
        if image_id not in images:
            images[image_id] = (source.record(image_id), _keep(folder, *source.image(image_id)))
        yield Pair(verdict, images[image_id][0], probes[probe], images[image_id][1])
        on_pair(done)


def _keep(folder: Path, data: bytes, media_type: str) -> str:
    name = f"{IMAGES}/{hashlib.sha256(data).hexdigest()[:32]}{ENDINGS.get(media_type, '')}"
    (folder / name).write_bytes(data)
    return name


def _row(pair: Pair) -> tuple[str | None, ...]:
    verdict, record = pair.verdict, pair.record
    return (
        pair.probe,
        verdict["camera_id"],
        pair.image,
        verdict["image_id"],
        record["vehicle_id"],
        record["camera_id"],
        verdict["verdict"],
        verdict["decided_at"],
        verdict["decided_by"],
    )


def _vehicles(pairs: list[Pair]) -> tuple[dict[str, dict[str, str | None]], list[str]]:
    """Vehicle -> its files, each with its camera; and what contradicts itself, in words."""
    groups = _Groups()
    cameras: dict[str, str | None] = {}
    named: dict[str, str] = {}
    for pair in pairs:
        cameras[pair.probe] = pair.verdict["camera_id"] or cameras.get(pair.probe)
        cameras[pair.image] = pair.record["camera_id"] or cameras.get(pair.image)
        if vehicle := pair.record["vehicle_id"]:
            named[pair.image] = vehicle
            groups.join(pair.image, f"vehicle {vehicle}")
        if pair.verdict["verdict"] == "same":
            groups.join(pair.probe, pair.image)
    wrong: dict[str, str] = {}
    for pair in pairs:
        if pair.verdict["verdict"] == "different" and groups.of(pair.probe) == groups.of(pair.image):
            wrong[groups.of(pair.probe)] = (
                f"{pair.probe} and {pair.image} are said to differ, and other verdicts link them"
            )
    found: dict[str, dict[str, str | None]] = {}
    for group, members in groups.members(cameras).items():
        names = sorted({named[path] for path in members if path in named})
        if len(names) > 1:
            wrong[group] = f"verdicts link the vehicles {', '.join(names)}"
        if group not in wrong and (names or len(members) > 1):
            found[names[0] if names else f"verdict-{Path(members[0]).stem[:12]}"] = {
                path: cameras[path] for path in members
            }
    return found, sorted(wrong.values())


class _Groups:
    """Sets of what is joined, directly or by others."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, item: str) -> str:
        while (above := self._above.get(item, item)) != item:
            item = above
        return item

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.of(one), self.of(other)))
        self._above[second] = first

    def members(self, items: Iterable[str]) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for item in items:
            found[self.of(item)].append(item)
        return dict(found)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[str | None, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(rows)
