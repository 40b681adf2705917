"""Each camera's sums in the database: they change in the transaction that changes the gallery.

A camera is known by images of two sources: those enrolled, and those it was calibrated with, which were shown
and not kept. The two are apart, so that deletions are accounted for against enrolled images alone.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index.cameras.sums import CALIBRATED, ENROLLED, NO_CAMERA, CameraSums, Source, Sums
from index.database.changes import DESCRIPTORS
from index.database.checksums import checked, checksum
from index.database.descriptors import unpack_bytes
from index.database.rows import SELECT, read_record
from index.errors import DamagedImageError

COLLECTION = "default"
"""The one collection; statistics are kept by collection and camera."""

PUT = "INSERT OR REPLACE INTO camera VALUES (?, ?, ?, ?, ?, ?)"

log = logging.getLogger(__name__)


class _DamagedError(Exception):
    """A camera's sums are not what was written."""


class Cameras:
    """The sums of one gallery's cameras; every method belongs into a transaction of the writing connection.

    A row that is damaged is found by its checksum. Enrolled sums are then computed anew from the descriptors
    at the next change; a calibration that is damaged begins anew.
    """

    def __init__(self, connection: sqlite3.Connection, descriptor_dim: int) -> None:
        self._connection = connection
        self._dim = descriptor_dim

    def enrolled(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images just enrolled: the camera, None for none, and descriptor `[d]` as stored of each."""
        try:
            for camera_id in dict.fromkeys(cameras):
                its = [one for one, camera in zip(descriptors, cameras, strict=True) if camera == camera_id]
                held = self._held(camera_id or NO_CAMERA, ENROLLED)
                self._put(camera_id or NO_CAMERA, ENROLLED, held + Sums.of(np.stack(its)))
        except _DamagedError:
            self.recompute()

    def deleted(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images no more that were just deleted: as `enrolled`."""
        try:
            for camera_id in dict.fromkeys(cameras):
                its = [one for one, camera in zip(descriptors, cameras, strict=True) if camera == camera_id]
                held = self._held(camera_id or NO_CAMERA, ENROLLED)
                self._put(camera_id or NO_CAMERA, ENROLLED, held - Sums.of(np.stack(its)))
        except _DamagedError:
            self.recompute()

    def calibrate(
        self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes, *, anew: bool = False
    ) -> bool:
        """Count an image for a camera's calibration; False where this digest is counted.

        With `anew` it takes the place of those that were counted.
        """
        if anew:
            self.forget_calibration(camera_id)
        try:
            self._connection.execute(
                "INSERT INTO calibration_image VALUES (?, ?, ?)", (COLLECTION, camera_id, digest)
            )
        except sqlite3.IntegrityError:
            return False
        try:
            held = self._held(camera_id, CALIBRATED)
        except _DamagedError:
            held = Sums.nothing(self._dim)
        self._put(camera_id, CALIBRATED, held + Sums.of(descriptor[np.newaxis]))
        return True

    def forget_calibration(self, camera_id: str) -> bool:
        """Remove a camera's calibration; False where it has none."""
        of = (COLLECTION, camera_id)
        self._connection.execute("DELETE FROM calibration_image WHERE collection = ? AND camera_id = ?", of)
        gone = self._connection.execute(
            "DELETE FROM camera WHERE collection = ? AND camera_id = ? AND source = 'calibrated'", of
        )
        return gone.rowcount > 0

    def recompute(self) -> None:
        """Compute the enrolled sums anew from the stored descriptors; those that are damaged are left out."""
        self._connection.execute("DELETE FROM camera WHERE source = 'enrolled'")
        for camera_id, sums in self.recomputed().items():
            self._put(camera_id, ENROLLED, sums)

    def recomputed(self) -> dict[str, Sums]:
        """What `recompute` writes, by camera."""
        found: dict[str, Sums] = {}
        for camera_id, descriptor in self._sound():
            held = found.get(camera_id) or Sums.nothing(self._dim)
            found[camera_id] = held + Sums.of(descriptor[np.newaxis])
        return found

    def _sound(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        for record_id, image_id, camera_id, data, expected in self._connection.execute(DESCRIPTORS):
            try:
                read_record(self._connection.execute(f"{SELECT} WHERE id = ?", (record_id,)).fetchone(), "")
                sound = checked("descriptor", image_id, record_id, data, expected)
            except DamagedImageError as error:
                log.warning("%s; it is left out of its camera's statistics", error)
                continue
            yield camera_id or NO_CAMERA, unpack_bytes([sound])[0]

    def _held(self, camera_id: str, source: Source) -> Sums:
        row = self._connection.execute(
            "SELECT camera_id, source, count, sums, checksum FROM camera "
            "WHERE collection = ? AND camera_id = ? AND source = ?",
            (COLLECTION, camera_id, source),
        ).fetchone()
        if row is None:
            return Sums.nothing(self._dim)
        sums = _read(row)
        if sums is None:
            raise _DamagedError
        return sums

    def _put(self, camera_id: str, source: Source, sums: Sums) -> None:
        if not sums.count:
            self._connection.execute(
                "DELETE FROM camera WHERE collection = ? AND camera_id = ? AND source = ?",
                (COLLECTION, camera_id, source),
            )
            return
        data = sums.to_bytes()
        of = (COLLECTION, camera_id, source, sums.count, data, checksum(sums.count, data))
        self._connection.execute(PUT, of)


def read_cameras(connection: sqlite3.Connection, descriptor_dim: int) -> Mapping[str, CameraSums]:
    """The sums of every camera that has images, by its id, as this connection sees them."""
    nothing = Sums.nothing(descriptor_dim)
    found: dict[str, CameraSums] = {}
    rows = connection.execute(
        "SELECT camera_id, source, count, sums, checksum FROM camera WHERE collection = ? ORDER BY camera_id",
        (COLLECTION,),
    )
    for row in rows:
        sums = _read(row)
        if sums is None:
            continue
        held = found.get(row[0]) or CameraSums(row[0], nothing, nothing)
        enrolled, calibrated = (sums, held.calibrated) if row[1] == ENROLLED else (held.enrolled, sums)
        found[row[0]] = CameraSums(row[0], enrolled, calibrated)
    return found


def _read(row: tuple[str, str, int, bytes, int]) -> Sums | None:
    """The sums of a row; None, which is logged, where they are damaged."""
    camera_id, source, count, data, expected = row
    if checksum(count, data) != expected:
        log.error("the sums of the %s images of camera %r are damaged", source, camera_id)
        return None
    return Sums.from_bytes(count, data)
