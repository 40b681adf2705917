"""What `lka-reid enroll` is given: folders, image files and manifests, as a list of uploads."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
FIELDS = ("image_id", "vehicle_id", "camera_id", "captured_at", "view")


class SourceError(ValueError):
    """A path that nothing can be enrolled from; the message says why."""


@dataclass(frozen=True)
class Upload:
    """An image file and the form fields that go with it."""

    path: Path
    fields: dict[str, str | list[str]] = field(default_factory=dict)


def find_uploads(paths: Iterable[Path], defaults: dict[str, str] | None = None) -> list[Upload]:
    """The uploads that these paths stand for, in order.

    A folder stands for all images below it, each with its path in the folder as image id. A `.csv` file
    stands for its rows: `path` (from the file's own folder) and, where they exist, `image_id` (else the
    path), `vehicle_id`, `camera_id`, `captured_at`, `view`, `tags` (separated by `;`). Any other file is an
    image.

    Args:
        paths: given by the user.
        defaults: fields for uploads that do not say otherwise.

    Raises:
        SourceError: a path that does not exist, a manifest without `path`, an image id that comes twice, or
            nothing to enroll at all.
    """
    uploads = [
        Upload(upload.path, {**(defaults or {}), **upload.fields}) for path in paths for upload in _from(path)
    ]
    if not uploads:
        raise SourceError("there is nothing to enroll: no image was found")
    seen: dict[str, Path] = {}
    for upload in uploads:
        image_id = str(upload.fields["image_id"])
        if image_id in seen:
            raise SourceError(f"{seen[image_id]} and {upload.path} would both be enrolled as {image_id!r}")
        seen[image_id] = upload.path
    return uploads


def _from(path: Path) -> Iterator[Upload]:
    if path.is_dir():
        yield from _from_folder(path)
    elif not path.is_file():
        raise SourceError(f"{path} does not exist")
    elif path.suffix.lower() == ".csv":
        yield from _from_manifest(path)
    else:
        yield Upload(path, {"image_id": path.name})


def _from_folder(folder: Path) -> Iterator[Upload]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield Upload(path, {"image_id": path.relative_to(folder).as_posix()})


def _from_manifest(manifest: Path) -> Iterator[Upload]:
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if "path" not in (rows.fieldnames or ()):
            raise SourceError(
                f"{manifest} has no column `path`; it has {', '.join(rows.fieldnames or ()) or 'none'}"
            )
        for row in rows:
            fields: dict[str, str | list[str]] = {"image_id": row["path"]}
            fields |= {name: row[name] for name in FIELDS if row.get(name)}
            if row.get("tags"):
                fields["tags"] = [tag.strip() for tag in row["tags"].split(";")]
            yield Upload(manifest.parent / row["path"], fields)
