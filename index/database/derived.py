"""Tables whose rows follow from others: tags of records, digests of images, sums of cameras, and their
versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from index.cameras.sums import ENROLLED
from index.database.cameras import Cameras
from index.database.checksums import checksum, digest
from index.database.connections import transaction
from index.database.rows import INSERT_TAGS_OF_RECORDS


def faults_of_cameras(connection: sqlite3.Connection, descriptor_dim: int) -> Iterator[str]:
    """What is wrong with the sums of cameras, in words.

    Each row's checksum; and for enrolled images that the sums are, bit for bit, those of the descriptors that
    are stored, which must be sound.
    """
    expected = Cameras(connection, descriptor_dim).recomputed()
    rows = connection.execute("SELECT camera_id, source, count, sums, checksum FROM camera").fetchall()
    for camera_id, source, count, data, stored in rows:
        if checksum(count, data) != stored:
            yield f"the sums of the {source} images of camera {camera_id!r} are damaged"
        elif source == ENROLLED:
            its = expected.get(camera_id)
            if its is None or (its.count, its.to_bytes()) != (count, data):
                yield f"the sums of camera {camera_id!r} are not those of its images"
    known = {camera_id for camera_id, source, *_ in rows if source == ENROLLED}
    for camera_id in sorted(set(expected) - known):
        yield f"camera {camera_id!r} has images and no sums"


def faults_of_normalisation(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with the version of the normalisation that is in force, in words."""
    rows = connection.execute(
        "SELECT version, camera_id, count, estimate, checksum FROM normalisation_camera"
    )
    for version, camera_id, count, data, stored in rows:
        if checksum(count, data) != stored:
            yield f"version {version} of the camera normalisation is damaged (camera {camera_id!r})"


def is_digest(connection: sqlite3.Connection, record_id: int, image: bytes) -> bool:
    """Whether the digest of a record's image is what its bytes have."""
    row = connection.execute("SELECT digest FROM image_digest WHERE record_id = ?", (record_id,)).fetchone()
    return row is not None and row[0] == digest(image)


def mend(connection: sqlite3.Connection, descriptor_dim: int) -> None:
    """Make all of these anew that follow from records; a version that is damaged is given up for the next
    one."""
    connection.create_function("digest", 1, digest, deterministic=True)
    with transaction(connection):
        connection.execute("DELETE FROM tag")
        connection.execute(INSERT_TAGS_OF_RECORDS)
        connection.execute("DELETE FROM image_digest")
        connection.execute("INSERT INTO image_digest SELECT record_id, digest(data) FROM image")
        Cameras(connection, descriptor_dim).recompute()
        if any(faults_of_normalisation(connection)):
            connection.execute("DELETE FROM normalisation_camera")
            connection.execute("DELETE FROM normalisation")
