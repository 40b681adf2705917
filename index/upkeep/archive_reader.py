"""Reading an archive of `index.upkeep.archive`, which anyone may have made: all of it is checked.

No member is unpacked to a file or by its own name. Members that are compressed, larger than they may be or
not what the manifest says are refused before they are read, so that reading takes memory for one image at a
time.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import tokenize
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from index.errors import GalleryBackupError
from index.record import Enrollment, GalleryHeader
from index.upkeep.archive import COLUMNS, DESCRIPTORS, FORMAT, MANIFEST, RECORDS, STRIPS, VERSION

MOST_MANIFEST: Final = 1 << 20
MOST_IMAGE: Final = 256 << 20
MOST_ROW: Final = 1 << 20
MOST_NUMBERS: Final = 1 << 20
"""Of a descriptor, or of the strips of an image."""
_HEADER_ERRORS = (ValueError, TypeError, SyntaxError, tokenize.TokenError, MemoryError, RecursionError)
"""What NumPy and Python raise for the header of an array that is none."""
_IMAGE = re.compile(r"images/\d{1,12}")
_PIECE = 1 << 20
_MEMBER_HEADER = 30
"""Bytes before a member's name and data, at least."""

Rows = Generator[NDArray[np.float16], None, None]
"""Of an array, one after the other."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of an archive: the enrollment that it makes, or why it makes none.

    Attributes:
        image_id: as the archive names it.
        enrollment: of the image; None where there is a fault.
        fault: what is wrong, in words.
    """

    image_id: str
    enrollment: Enrollment | None
    fault: str = ""


class ArchiveReader:
    """An archive, open to be read once from front to back.

    Args:
        path: of the file.

    Raises:
        GalleryBackupError: it is no archive, is damaged, or takes more than it may.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._manifest: dict[str, Any] = {"files": {}}
        self._taken: set[int] = set()  # where the images of earlier rows begin
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise self._refused(f"is no archive of a gallery ({error})") from None
        try:
            self._check_places()
            self._manifest |= self._read_manifest()
            for name in self._files:
                self._check(name)
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    @property
    def images(self) -> int:
        """How many there are."""
        return int(self._manifest["images"])

    @property
    def header(self) -> GalleryHeader:
        """The model that its descriptors are of."""
        strips = self._manifest["strips_shape"]
        return GalleryHeader(
            self._manifest["fingerprint"],
            self._manifest["descriptor_dim"],
            None if strips is None else (strips[0], strips[1]),
        )

    def entries(self) -> Iterator[Entry]:
        """All of them, in order. Raises as the constructor."""
        header, count = self.header, 0
        self._taken.clear()
        strips_rows = 0
        with (
            closing(self._open(RECORDS)) as file,
            closing(self._array(DESCRIPTORS, (self.images, header.descriptor_dim))) as descriptors,
            closing(self._strips()) as strips,
        ):
            rows = csv.DictReader(
                io.TextIOWrapper(io.BufferedReader(_Lines(file)), encoding="utf-8", newline=""), strict=True
            )
            try:
                if tuple(rows.fieldnames or ()) != COLUMNS:
                    raise self._refused(f"has other columns in {RECORDS} than {', '.join(COLUMNS)}")
                for row in rows:
                    count += 1
                    if count > self.images:
                        raise self._refused(
                            f"has more rows in {RECORDS} than the {self.images:,} of {MANIFEST}"
                        )
                    its_strips = None
                    if row["strips"]:
                        if row["strips"] != str(strips_rows):
                            raise self._refused(f"has strips out of order at row {count:,} of {RECORDS}")
                        strips_rows += 1
                        its_strips = next(strips)
                    yield self._entry(row, next(descriptors), its_strips)
            except (csv.Error, UnicodeDecodeError) as error:
                raise self._refused(f"has a damaged {RECORDS}: {error}") from None
            except StopIteration:
                raise self._refused("has fewer descriptors or strips than rows") from None
        if count < self.images:
            raise self._refused(f"has {count:,} rows in {RECORDS}, {self.images:,} are in {MANIFEST}")

    def _entry(
        self, row: dict[str, str], descriptor: NDArray[np.float16], strips: NDArray[np.float16] | None
    ) -> Entry:
        image_id = row["image_id"]
        try:
            image = self._image(row)
            tags = json.loads(row["tags_json"])
            if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
                raise ValueError("its tags are no list of text")
            return Entry(
                image_id,
                Enrollment(
                    image_id=image_id,
                    vehicle_id=row["vehicle_id"] or None,
                    camera_id=row["camera_id"] or None,
                    captured_at=_time(row["captured_at"]) if row["captured_at"] else None,
                    view=row["view"] or None,
                    vehicle_type=row["vehicle_type"] or None,
                    tags=tuple(tags),
                    descriptor=descriptor.astype(np.float32),
                    strips=strips,
                    image=image,
                    media_type=row["media_type"],
                    enrolled_at=_time(row["enrolled_at"]),
                ),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return Entry(image_id, None, str(error))

    def _image(self, row: dict[str, str]) -> bytes:
        """Raises ValueError where it is not what the row says."""
        path = row["path"]
        if not _IMAGE.fullmatch(path):
            raise ValueError(f"{path[:100]!r} names no image of an archive")
        try:
            member = self._archive.getinfo(path)
        except KeyError:
            raise ValueError(f"{path} is missing") from None
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError(f"{path} is compressed or encrypted")
        if member.header_offset in self._taken:
            # A small archive would fill any disk.
            raise ValueError(f"{path} is another row's image already")
        self._taken.add(member.header_offset)
        if not 0 < member.file_size <= MOST_IMAGE or str(member.file_size) != row["bytes"]:
            raise ValueError(f"{path} has {member.file_size:,} bytes, {row['bytes'][:20]} expected")
        try:
            data = self._archive.read(member)
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise ValueError(f"{path} is damaged ({error})") from None
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise ValueError(f"{path} differs from the SHA-256 in {RECORDS}")
        return data

    def _strips(self) -> Rows:
        shape = self.header.strips_shape
        if shape is None or STRIPS not in self._files:
            return _no_rows()
        return self._array(STRIPS, (None, *shape))

    def _array(self, name: str, shape: tuple[int | None, ...]) -> Rows:
        """The rows of an array of float16, of this shape; None for any number."""
        with closing(self._open(name)) as file:
            try:
                if npy.read_magic(file) != (1, 0):
                    raise ValueError("it is of another version of the format")
                found, fortran, kind = npy.read_array_header_1_0(file, max_header_size=1000)
            except _HEADER_ERRORS as error:
                raise self._refused(f"has a damaged {name}: {error or type(error).__name__}") from None
            fits = len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape, strict=True))
            if kind != np.dtype("<f2") or fortran or not fits:
                raise self._refused(f"has {kind} {list(found)} in {name}, float16 {list(shape)} expected")
            size = int(np.prod(found[1:])) * kind.itemsize
            for _ in range(found[0]):
                data = file.read(size)
                if len(data) != size:
                    raise self._refused(f"ends within {name}")
                yield np.frombuffer(data, dtype="<f2").reshape(found[1:]).astype(np.float16, copy=False)

    @property
    def _files(self) -> dict[str, dict[str, Any]]:
        files: dict[str, dict[str, Any]] = self._manifest["files"]
        return files

    def _check_places(self) -> None:
        """See that no member lies within another one: of a few bytes, images without end could be made."""
        end = 0
        for member in sorted(self._archive.infolist(), key=lambda one: one.header_offset):
            if member.header_offset < end:
                raise self._refused(f"has members that overlap, {member.filename[:100]!r} and the one before")
            end = member.header_offset + _MEMBER_HEADER + member.compress_size

    def _check(self, name: str) -> None:
        """See that a member is what the manifest says: its size before it is read, then its SHA-256."""
        digest, left = hashlib.sha256(), self._files[name]["bytes"]
        with closing(self._open(name)) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                left -= len(piece)
        if left or digest.hexdigest() != self._files[name]["sha256"]:
            raise self._refused(f"has another {name} than its {MANIFEST} says")

    def _open(self, name: str) -> IO[bytes]:
        try:
            member = self._archive.getinfo(name)
        except KeyError:
            raise self._refused(f"has no {name}") from None
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise self._refused(f"has a {name} that is compressed or encrypted")
        known = self._files.get(name) if name != MANIFEST else None
        if known is not None and member.file_size != known["bytes"]:
            raise self._refused(f"has another {name} than its {MANIFEST} says")
        try:
            return self._archive.open(member)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise self._refused(f"has a damaged {name} ({error})") from None

    def _read_manifest(self) -> dict[str, Any]:
        try:
            with closing(self._open(MANIFEST)) as file:
                content = json.loads(file.read(MOST_MANIFEST))
        except (ValueError, RecursionError, zipfile.BadZipFile) as error:
            raise self._refused(f"has a damaged {MANIFEST} ({error})") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise self._refused("is no archive of a gallery")
        if content.get("version") != VERSION:
            raise self._refused(
                f"is of version {content.get('version')!r} of the format, this software knows {VERSION}"
            )
        if not _is_manifest(content):
            raise self._refused(f"has a {MANIFEST} that lacks what it must say, or says what cannot be")
        return content

    def _refused(self, why: str) -> GalleryBackupError:
        return GalleryBackupError(f"{self._path} {why}")


class _Lines(io.RawIOBase):
    """A member as a file whose lines have a bounded length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._file.readline(MOST_ROW + 1)
            if len(self._left) > MOST_ROW:
                raise csv.Error(f"a line is longer than {MOST_ROW:,} bytes")
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _no_rows() -> Rows:
    yield from ()


def _is_manifest(content: dict[str, Any]) -> bool:
    files, strips, dim = content.get("files"), content.get("strips_shape"), content.get("descriptor_dim")
    return (
        isinstance(content.get("fingerprint"), str)
        and _is_count(content.get("images"))
        and _is_count(dim)
        and 0 < dim <= MOST_NUMBERS  # type: ignore[operator]
        and (
            strips is None or (isinstance(strips, list) and len(strips) == 2 and all(map(_is_count, strips)))
        )
        and (strips is None or 0 < strips[0] * strips[1] <= MOST_NUMBERS)
        and isinstance(files, dict)
        and {RECORDS, DESCRIPTORS} <= set(files) <= {RECORDS, DESCRIPTORS, STRIPS}
        and all(
            isinstance(each, dict) and _is_count(each.get("bytes")) and isinstance(each.get("sha256"), str)
            for each in files.values()
        )
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment
