"""What galleries of earlier versions hold, and what tests read of them past the software."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from index import (
    LocalGallery,
)
from tests.index.samples import enrollment


def tables(database: Path) -> list[Any]:
    """What the schema holds; spaces, which a column that is added has elsewhere, make no difference."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")
        return [(*of, re.sub(r"\s*([(),]|\s)\s*", r"\1", sql or "")) for *of, sql in found]


def values(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def files(folder: Path) -> dict[str, str]:
    """All but SQLite's own shared memory, which says nothing of the contents."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock" and not file.name.endswith("-shm")
    }


def assert_holds(gallery: LocalGallery, names: str, fingerprint: str) -> None:
    assert [record.image_id for record in gallery.page().records] == list(names)
    for name in names:
        given = enrollment(name)
        record = gallery.get(name)
        assert (record.vehicle_id, record.tags) == (given.vehicle_id, given.tags)
        assert record.fingerprint == fingerprint
        assert gallery.image(name) == (given.image, given.media_type)
        [[match]] = gallery.search(given.descriptor[np.newaxis], k=1, strips=1)
        assert match.record == record
        if name == "f":
            assert match.strips is None
        else:
            np.testing.assert_array_equal(np.asarray(match.strips), np.asarray(given.strips))
