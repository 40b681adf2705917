"""A gallery, or a part of it, as one portable file: a ZIP archive without compression.

| member | what |
|---|---|
| `records.csv` | a row for each image; with the archive unpacked it is a CSV manifest for `lka-reid enroll` |
| `images/00000000` ... | the image files, byte for byte |
| `descriptors.npy` | float16 `[n, d]`, in the order of the rows |
| `strips.npy` | float16 `[m, s, w]`; a record's column `strips` names its row. Missing where none has any |
| `manifest.json` | format, fingerprint, shapes, count; SHA-256 and size of the three above. It comes last |

Tags stand in `tags` as a CSV manifest has them, and in `tags_json` exactly. The columns `sha256` and `bytes`
of the records are of the image files. What is known of cameras is not in it: their statistics follow from the
descriptors, and calibrations stay where they were made.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, TextIO

import numpy as np
from numpy.lib import format as npy

from index.database.checksums import checked
from index.database.conditions import conditions
from index.database.rows import SELECT, read_record
from index.errors import GalleryBackupError
from index.files.disk import sync
from index.files.private import create_file
from index.files.space import fullness_named
from index.filter import ALL, Filter
from index.record import GalleryHeader, Record
from index.upkeep.folder import check_apart
from index.upkeep.frozen import frozen

FORMAT: Final = "lka-reid-archive"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
RECORDS: Final = "records.csv"
DESCRIPTORS: Final = "descriptors.npy"
STRIPS: Final = "strips.npy"
PARTIAL: Final = ".partial"
COLUMNS: Final = (
    *("path", "image_id", "vehicle_id", "camera_id", "captured_at", "view", "vehicle_type", "tags"),
    *("enrolled_at", "media_type", "tags_json", "strips", "sha256", "bytes"),
)
_PART = "SELECT data, checksum.{0} FROM checksum LEFT JOIN {0} USING (record_id) WHERE record_id = ?"

OnImage = Callable[[int, int], None]
"""Called with the images that are done, and images in all."""


def export(
    folder: Path, target: Path, where: Filter = ALL, on_image: OnImage = lambda _done, _total: None
) -> int:
    """Write the images that a filter lets through to the new file `target`; how many there are.

    Who has the gallery open goes on.

    Raises:
        FileNotFoundError: there is no gallery. GalleryError: it cannot be read, or an image is damaged;
        GalleryBackupError, that there is something at
            `target`, or that it is in the data directory.
        OSError: it cannot be written.
    """
    if target.exists():
        raise GalleryBackupError(f"there is something at {target} already; name another file for the archive")
    partial = target.with_name(target.name + PARTIAL)
    with frozen(folder) as (connection, header), fullness_named(target.parent):
        check_apart(folder, target)
        partial.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        create_file(partial)
        condition, values = conditions(where)
        query = f"SELECT id FROM record WHERE {condition} ORDER BY id"  # noqa: S608 - our own conditions
        ids = [row[0] for row in connection.execute(query, values)]
        with (
            zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
            # Unlinked as soon as it is made, and beside the archive: it names images.
            TemporaryFile("w+", encoding="utf-8", newline="", dir=target.parent) as table,
        ):
            _Writer(connection, archive, header, table).write(ids, on_image)
        sync(partial)
    partial.rename(target)
    sync(target.parent)
    return len(ids)


class _Writer:
    """Writes the members one after the other: a ZIP archive grows at its end alone."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        archive: zipfile.ZipFile,
        header: GalleryHeader,
        table: TextIO,
    ) -> None:
        self._table = table
        self._connection = connection
        self._archive = archive
        self._header = header
        self._files: dict[str, dict[str, Any]] = {}

    def write(self, ids: list[int], on_image: OnImage) -> None:
        rows = csv.DictWriter(self._table, COLUMNS, lineterminator="\n")
        rows.writeheader()
        striped: list[int] = []
        for number, record_id in enumerate(ids):
            row = self._connection.execute(f"{SELECT} WHERE id = ?", (record_id,)).fetchone()
            record = read_record(row, self._header.fingerprint)
            image = self._part("image", record_id, record.image_id)
            path = f"images/{number:08d}"
            self._archive.writestr(path, image)
            has_strips = self._has_strips(record_id)
            rows.writerow(
                {
                    **_fields(record),
                    "path": path,
                    "strips": str(len(striped)) if has_strips else "",
                    "sha256": hashlib.sha256(image).hexdigest(),
                    "bytes": str(len(image)),
                }
            )
            if has_strips:
                striped.append(record_id)
            on_image(number + 1, len(ids))
        self._table.seek(0)
        self._member(RECORDS, (line.encode() for line in self._table))
        dim, strips = self._header.descriptor_dim, self._header.strips_shape
        self._member(DESCRIPTORS, self._array("descriptor", ids, (dim,)))
        if striped and strips is not None:
            self._member(STRIPS, self._array("strips", striped, strips))
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self._header.fingerprint,
            "descriptor_dim": dim,
            "strips_shape": strips,
            "images": len(ids),
            "files": self._files,
        }
        self._archive.writestr(MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def _array(self, part: str, ids: list[int], shape: tuple[int, ...]) -> Iterator[bytes]:
        head = io.BytesIO()
        npy.write_array_header_1_0(
            head, {"descr": "<f2", "fortran_order": False, "shape": (len(ids), *shape)}
        )
        yield head.getvalue()
        for record_id in ids:
            data = self._part(part, record_id, f"of record {record_id}")
            yield np.frombuffer(data, dtype="<f2").tobytes()

    def _member(self, name: str, pieces: Iterator[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as member:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                member.write(piece)
        self._files[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def _part(self, part: str, record_id: int, image_id: str) -> bytes:
        row = self._connection.execute(_PART.format(part), (record_id,)).fetchone()
        return checked(part, image_id, record_id, *(row or (None, None)))

    def _has_strips(self, record_id: int) -> bool:
        row = self._connection.execute(
            "SELECT strips FROM checksum WHERE record_id = ?", (record_id,)
        ).fetchone()
        return row is not None and row[0] is not None


def _fields(record: Record) -> dict[str, str]:
    """What is known of an image, as text; "" for what is not."""
    return {
        "image_id": record.image_id,
        "vehicle_id": record.vehicle_id or "",
        "camera_id": record.camera_id or "",
        "captured_at": "" if record.captured_at is None else record.captured_at.isoformat(),
        "view": record.view or "",
        "vehicle_type": record.vehicle_type or "",
        "tags": "; ".join(record.tags),
        "tags_json": json.dumps(record.tags, ensure_ascii=False),
        "enrolled_at": record.enrolled_at.isoformat(),
        "media_type": record.media_type,
    }
