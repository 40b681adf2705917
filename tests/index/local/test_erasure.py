"""After a deletion and a pass nothing of the image is in any file of the gallery's folder."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import Decision, Enrollment, LocalGallery, NotErasedError
from index.database.connections import DATABASE
from index.database.descriptors import as_stored, pack
from index.database.migration import KEPT_DAYS
from index.database.slack import has_remnants, has_written_free_pages
from index.local.remains import erase_remains
from index.upkeep.folder import Purged, purge
from index.verdicts import digest_of
from tests.index.samples import DIM, STRIPS, Open, earlier_version, enrollment

WINDOW = 16
"""Bytes of a piece that is looked for: as long as the shortest id here, and longer than chance repeats."""

PIECES = 20
"""Pieces of a part that are looked for, evenly spread."""


def _named(name: str, **changes: Any) -> Enrollment:
    """As `enrollment`, under an id and of a vehicle that no other file has by chance."""
    return enrollment(
        f"image-of-{name}-{'x' * 12}", vehicle_id=f"vehicle-of-{name}-{'y' * 12}", **({} | changes)
    )


def _traces(given: Enrollment) -> dict[str, bytes]:
    """What could be found of an enrollment: its parts as they are stored, whole or in pieces."""
    assert given.strips is not None
    return {
        "image_id": given.image_id.encode(),
        "vehicle_id": (given.vehicle_id or "").encode(),
        "descriptor, float32": given.descriptor.astype("<f4").tobytes(),
        "descriptor, as it is stored": pack(given.descriptor).tobytes(),
        "descriptor, as it is searched": as_stored(given.descriptor[np.newaxis]).tobytes(),
        "strips": given.strips.astype("<f2").tobytes()[: WINDOW - 4],
        "image": given.image,
    }


def _found(folder: Path, given: Enrollment) -> set[tuple[str, str]]:
    """Which parts are in which files, for any piece of WINDOW bytes of a part."""
    found = set()
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes()
        for part, data in _traces(given).items():
            size = min(WINDOW, len(data))
            starts = range(0, len(data) - size + 1, max(1, len(data) // PIECES))
            if any(data[start : start + size] in content for start in starts):
                found.add((part, str(file.relative_to(folder))))
    return found


def _copied(folder: Path, to: Path) -> Path:
    """The files as they are now: closing one of an open gallery's own would take SQLite's locks from it."""
    os.system(f"cp -r '{folder}' '{to}'")  # noqa: S605 - in a process of its own
    return to


@pytest.mark.slow
def test_a_pass_while_the_gallery_is_open_leaves_nothing_of_a_deleted_image_in_any_file(
    open_gallery: Open, folder: Path, tmp_path: Path
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([_named(str(number), image=os.urandom(300 * number + 20)) for number in range(1, 25)])
    given = [enrollment_of(gallery, number) for number in range(1, 25)]
    gallery.snapshot()
    before = _copied(folder, tmp_path / "before")
    assert {part.partition(",")[0] for part, _ in _found(before, given[3])} == {
        *("image_id", "vehicle_id", "descriptor", "strips", "image")
    }
    for one in given[::2]:
        gallery.delete(one.image_id)
    assert gallery.unerased_seconds() > 0
    gallery.erase()
    assert gallery.unerased_seconds() == 0
    after = _copied(folder, tmp_path / "after")
    for number, one in enumerate(given):
        assert bool(_found(after, one)) == bool(number % 2), one.image_id
    # What stays is whole.
    assert gallery.count() == len(given) // 2
    for one in given[1::2]:
        [[match]] = gallery.search(one.descriptor[np.newaxis], k=1, strips=1)
        assert match.record.image_id == one.image_id
        assert gallery.image(one.image_id)[0] == one.image


def enrollment_of(gallery: LocalGallery, number: int) -> Enrollment:
    """What `_named` of this number was enrolled with, image included."""
    name = _named(str(number)).image_id
    return _named(str(number), image=gallery.image(name)[0])


def test_deletions_of_a_process_that_was_killed_are_seen_to_by_the_next_one(
    open_gallery: Open, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _named("a")
    gallery = open_gallery()
    gallery.enroll_many([given, _named("b")])
    gallery.snapshot()
    gallery.delete(given.image_id)
    killed = _copied(folder, tmp_path / "killed")
    assert _found(killed, given)
    # A flat index is read from the database: its snapshot holds nothing of an image.
    assert not any("snapshot/" in file for _, file in _found(killed, given))
    monkeypatch.setattr("index.local.erasure.DELAY_S", 0.0)
    gallery = open_gallery(killed)
    _wait_until(lambda: gallery.unerased_seconds() == 0)
    gallery.close()
    assert _found(killed, given) == set()
    assert _found(killed, _named("b")) != set()


def _wait_until(done: Any) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    pytest.fail("not done within 30 s")


@pytest.mark.parametrize("version", [1, 3, 5])
def test_backups_of_a_migration_lose_what_is_deleted_and_keep_the_rest_and_their_age(
    version: int, open_gallery: Open, folder: Path
) -> None:
    earlier_version(version, "closed", folder)
    gallery = open_gallery()
    saved = folder / f"backup-version-{version}" / DATABASE
    os.utime(saved, (1e9, 1e9))
    given = enrollment("d")
    assert given.image in saved.read_bytes()
    gallery.delete("d")
    gallery.enroll(enrollment("d", image=b"another image of the same id"))
    gallery.erase()
    gallery.close()
    content = saved.read_bytes()
    assert given.image not in content
    assert given.descriptor.tobytes() not in content
    assert pack(given.descriptor).tobytes() not in content
    assert saved.stat().st_mtime == 1e9
    with closing(sqlite3.connect(saved)) as backup:
        assert backup.execute("SELECT group_concat(image_id, '') FROM record").fetchone() == ("aef",)
        assert backup.execute("PRAGMA user_version").fetchone() == (version,)
        assert backup.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert backup.execute("PRAGMA foreign_key_check").fetchall() == []


def test_what_a_repair_put_aside_goes_when_it_is_old(open_gallery: Open, folder: Path) -> None:
    gallery = open_gallery()
    old, young = folder / "lost-20200101T000000", folder / f"{DATABASE}.damaged"
    old.mkdir()
    (old / "snapshot").write_bytes(b"x")
    young.write_bytes(b"x")
    past = time.time() - (KEPT_DAYS + 1) * 86_400
    os.utime(old, (past, past))
    gallery.erase()
    assert (old.exists(), young.exists()) == (False, True)


def test_the_estimate_of_a_camera_whose_last_image_is_deleted_is_erased_too(
    open_gallery: Open, folder: Path
) -> None:
    gallery = open_gallery(normalisation="on")
    gallery.enroll_many([enrollment(name, camera_id=f"camera-of-{name}") for name in "abcd"])
    gallery.cameras.renew_if_due()
    assert "camera-of-a" in gallery.cameras.normalisation().cameras
    gallery.delete("a")
    gallery.erase()
    assert set(gallery.cameras.normalisation().cameras) == {"camera-of-b", "camera-of-c", "camera-of-d"}
    gallery.close()
    assert not any(b"camera-of-a" in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_what_is_deleted_during_a_pass_is_for_the_next_one(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    gallery.delete("a")

    def meanwhile(folder: Path) -> list[str]:
        gallery.delete("b")
        return erase_remains(folder)

    monkeypatch.setattr("index.local.erasure.erase_remains", meanwhile)
    gallery.erase()
    assert gallery.unerased_seconds() > 0
    monkeypatch.undo()
    gallery.erase()
    assert gallery.unerased_seconds() == 0


def test_a_large_database_is_written_anew_when_it_is_not_in_use(
    open_gallery: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.local.erasure.ANEW_BYTES", 1)
    gallery = open_gallery()
    gallery.enroll_many([enrollment(f"{number}") for number in range(30)])
    gallery._store._writer.execute("PRAGMA secure_delete = OFF")
    gallery.delete("7")
    given = enrollment("7").image
    gallery.erase()
    assert given in _copied(folder, folder.parent / "in use").joinpath(DATABASE).read_bytes()
    gallery.erase(in_use=False)
    assert given not in _copied(folder, folder.parent / "purged").joinpath(DATABASE).read_bytes()


def test_a_purge_sees_to_every_collection(open_gallery: Open, folder: Path) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
    with open_gallery(folder / "collections" / "south") as gallery:
        gallery.enroll_many([enrollment("b"), enrollment("c")])
        gallery.snapshot()
        gallery.delete("b")
    dropped = folder / "collections" / ".dropped-1"
    shutil.copytree(folder / "collections" / "south", dropped)
    assert purge(folder) == Purged(2, ["collections/.dropped-1"])
    assert not dropped.exists()
    given = enrollment("b")
    files = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    for part in (given.image, pack(given.descriptor).tobytes()):
        assert not any(part in content for content in files)


def test_a_verdict_that_is_undone_leaves_no_probe_behind(open_gallery: Open, folder: Path) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    probes = [os.urandom(5000), os.urandom(300), enrollment("b").image]
    for probe in probes:
        gallery.verdicts.decide(Decision(probe, "image/png", "a", "same"))
    gallery.verdicts.undo(digest_of(probes[0]), "a")
    assert gallery.unerased_seconds() > 0
    gallery.delete("b")
    gallery.erase()
    gallery.close()
    files = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    held = [any(probe[:WINDOW] in content for content in files) for probe in probes]
    assert held == [False, True, False]


def test_a_pass_that_a_reader_holds_up_says_so_and_stays_due(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    gallery.delete("a")
    monkeypatch.setattr("index.local.erasure.READERS_S", 0.0)
    with gallery._store.reading() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM record").fetchone()
        gallery._store._writer.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(NotErasedError, match="is being read"):
            gallery.erase()
        connection.rollback()
    assert gallery.unerased_seconds() > 0
    gallery.erase()
    assert gallery.unerased_seconds() == 0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "d", isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB)")
        yield connection


def _remnants(connection: sqlite3.Connection, path: Path) -> tuple[bool, bool]:
    roots = [row[0] for row in connection.execute("SELECT rootpage FROM sqlite_schema")]
    file = os.open(path, os.O_RDONLY)
    try:
        return has_remnants(file, [1, *roots]), has_written_free_pages(file)
    finally:
        os.close(file)


def test_remnants_are_found_in_gaps_in_free_blocks_and_on_free_pages(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    rows = [(n, f"name-{n * 7919 % 200}-{n}", os.urandom(30 if n % 5 else 9000)) for n in range(1, 200)]
    database.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    _write_anew(database)
    assert _remnants(database, tmp_path / "d") == (False, False)
    database.execute("DELETE FROM t WHERE id = 7")
    assert _remnants(database, tmp_path / "d") == (True, False)
    database.execute("DELETE FROM t WHERE id = 10")
    assert _remnants(database, tmp_path / "d") == (True, True)
    _write_anew(database)
    assert _remnants(database, tmp_path / "d") == (False, False)


def _write_anew(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA secure_delete = ON")
    database.execute("VACUUM")
    database.execute("PRAGMA secure_delete = OFF")


def test_a_file_that_is_no_database_of_these_trees_is_refused(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(b"no database" * 1000)
    with pytest.raises(ValueError, match="page"):
        _remnants(database, tmp_path / "other")


def test_shapes_of_the_samples_are_long_enough_to_be_looked_for() -> None:
    """A part that is shorter than a piece would be found by chance, or never."""
    assert DIM * 2 >= WINDOW
    assert STRIPS[0] * STRIPS[1] * 2 >= WINDOW - 4
