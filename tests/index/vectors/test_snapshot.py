"""A snapshot of the vector index is used when it is beyond doubt, and never otherwise."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import LocalGallery
from index.vectors.kind import IndexSetup, KindSetting
from index.vectors.recovery import rebuild
from index.vectors.snapshot import MANIFEST
from index.vectors.vectors import Vectors
from tests.index.samples import DIM, Open, enrollment

NAMES = "abcdefgh"


@pytest.fixture
def snapshotted(open_gallery: Open, folder: Path) -> Path:
    """A closed gallery that has changed since its snapshot; the snapshot's folder."""
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in NAMES[:6]])
        gallery.delete("b")
        gallery.snapshot()
        gallery.enroll_many([enrollment(name) for name in NAMES[6:]])
        gallery.delete("c")
        gallery.delete("g")
    return folder / "snapshot"


def _assert_sound(gallery: LocalGallery, names: Sequence[str]) -> None:
    assert [record.image_id for record in gallery.page().records] == list(names)
    np.testing.assert_array_equal(gallery._vectors.ids(), gallery._store.changes.ids())
    for name in names:
        [matches] = gallery.search(enrollment(name).descriptor[np.newaxis], k=20)
        assert matches[0].record.image_id == name
        assert {match.record.image_id for match in matches} == set(names)


def _index_file(snapshot: Path) -> Path:
    [file] = snapshot.glob("*.bin")
    return file


def _edit_manifest(snapshot: Path, **changes: Any) -> None:
    file = snapshot / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _truncate_index(snapshot: Path) -> None:
    file = _index_file(snapshot)
    file.write_bytes(file.read_bytes()[:-20])


def _flip_a_byte(snapshot: Path) -> None:
    file = _index_file(snapshot)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _truncate_manifest(snapshot: Path) -> None:
    file = snapshot / MANIFEST
    file.write_bytes(file.read_bytes()[:-20])


def _nonsense_of_right_hash(snapshot: Path) -> None:
    file = _index_file(snapshot)
    file.write_bytes(b"n" * file.stat().st_size)
    _repair_hash(snapshot)


def _index_of_version_1(snapshot: Path) -> None:
    file = _index_file(snapshot)
    earlier = file.rename(file.with_suffix(".faiss"))
    _edit_manifest(snapshot, file=earlier.name)


def _repair_hash(snapshot: Path) -> None:
    digest = hashlib.sha256(_index_file(snapshot).read_bytes()).hexdigest()
    _edit_manifest(snapshot, sha256=digest)


DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "index truncated": (_truncate_index, ".bin", "bytes, its manifest says"),
    "byte flipped": (_flip_a_byte, ".bin", "differs from the sha256"),
    "index missing": (lambda snapshot: _index_file(snapshot).unlink(), ".bin", "cannot be read"),
    "index is nonsense": (_nonsense_of_right_hash, ".bin", "is not an index: its header has"),
    "index of schema version 1": (_index_of_version_1, ".faiss", "is of an earlier version"),
    "manifest missing": (lambda snapshot: (snapshot / MANIFEST).unlink(), MANIFEST, "is missing"),
    "manifest truncated": (_truncate_manifest, MANIFEST, "cannot be read"),
    "manifest is a list": (lambda snapshot: (snapshot / MANIFEST).write_text("[]"), MANIFEST, "is not a"),
    "manifest lacks a field": (
        lambda snapshot: (snapshot / MANIFEST).write_text('{"sequence": 7}'),
        MANIFEST,
        "is not a snapshot's manifest",
    ),
    "manifest of wrong types": (lambda s: _edit_manifest(s, sequence="7"), MANIFEST, "is not a snapshot's"),
    "file outside": (lambda s: _edit_manifest(s, file="../gallery.sqlite"), MANIFEST, "is not a snapshot's"),
    "wrong size": (lambda snapshot: _edit_manifest(snapshot, size=6), ".bin", "its manifest says 6"),
    "wrong model": (lambda s: _edit_manifest(s, fingerprint="model-b"), MANIFEST, "another model"),
    "wrong dim": (lambda s: _edit_manifest(s, descriptor_dim=9), MANIFEST, "another model"),
    "later sequence": (lambda s: _edit_manifest(s, sequence=9), MANIFEST, "not one of this database's"),
    "sequence to come": (lambda s: _edit_manifest(s, sequence=99), MANIFEST, "not one of this database's"),
    "forgotten sequence": (lambda s: _edit_manifest(s, sequence=3), MANIFEST, "not one of this database's"),
    "start of history": (lambda s: _edit_manifest(s, sequence=0, token=0), MANIFEST, "not one of this"),
    "format to come": (lambda s: _edit_manifest(s, format=99), MANIFEST, "is of format 99"),
    "other gallery": (lambda s: _edit_manifest(s, history="0" * 32), MANIFEST, "of another gallery's"),
    "other history": (lambda s: _edit_manifest(s, token=1), MANIFEST, "not one of this database's"),
}


def test_a_sound_snapshot_is_caught_up_and_not_rebuilt(
    snapshotted: Path,
    open_gallery: Open,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("index.vectors.recovery.rebuild", lambda *_: pytest.fail("rebuilt"))
    gallery = open_gallery()
    _assert_sound(gallery, "adefh")
    assert snapshotted.is_dir()
    assert caplog.records == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_snapshot_in_doubt_is_rebuilt_with_file_and_reason_logged_and_replaced(
    snapshotted: Path, open_gallery: Open, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    damage, file, reason = DAMAGE[kind]
    damage(snapshotted)
    gallery = open_gallery()
    _assert_sound(gallery, "adefh")
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert f"{snapshotted}/" in warning.getMessage()
    assert f"{file}: " in warning.getMessage()
    assert reason in warning.getMessage()
    gallery.wait_for_snapshot()
    assert gallery.snapshot_age_seconds() is not None

    gallery.close()
    caplog.clear()
    _assert_sound(open_gallery(), "adefh")
    assert caplog.records == []


def test_the_snapshot_of_an_earlier_version_is_made_anew_without_a_warning(
    snapshotted: Path, open_gallery: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Its vectors were made of descriptors that were not rounded; it had neither a format nor a history."""
    manifest = json.loads((snapshotted / MANIFEST).read_text())
    assert len(manifest.pop("history")) == 32
    manifest["count"] = 5
    del manifest["format"], manifest["size"]
    (snapshotted / MANIFEST).write_text(json.dumps(manifest))
    with caplog.at_level(logging.INFO), open_gallery() as gallery:
        _assert_sound(gallery, "adefh")
        gallery.wait_for_snapshot()
        assert gallery.snapshot_age_seconds() is not None
    [record] = [record for record in caplog.records if "snapshot not used" in record.getMessage()]
    assert record.levelno == logging.INFO
    assert "is of format 1" in record.getMessage()


def test_a_database_gets_one_history_and_keeps_it(open_gallery: Open, folder: Path, tmp_path: Path) -> None:
    with open_gallery() as gallery, open_gallery(tmp_path / "other") as other:
        made = gallery._store.changes.history()
        assert made != other._store.changes.history()
    with sqlite3.connect(folder / "gallery.sqlite") as connection:
        connection.execute("DROP TABLE history")
    connection.close()
    with open_gallery() as gallery:
        given = gallery._store.changes.history()
        assert given != made
    with open_gallery() as gallery:
        assert gallery._store.changes.history() == given


def test_a_snapshot_of_a_history_that_a_backup_undid_is_not_used(
    open_gallery: Open, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
    shutil.copytree(folder, tmp_path / "backup")
    with open_gallery() as gallery:
        gallery.enroll(enrollment("b"))
        gallery.snapshot()
    kept = tmp_path / "snapshot"
    (folder / "snapshot").rename(kept)
    shutil.rmtree(folder)
    (tmp_path / "backup").rename(folder)
    with open_gallery() as gallery:
        gallery.enroll(enrollment("c"))  # the same sequence number and the same id as b had
    shutil.rmtree(folder / "snapshot")
    kept.rename(folder / "snapshot")
    _assert_sound(open_gallery(), "ac")
    assert "not one of this database's history" in caplog.text


def test_a_gallery_that_never_had_a_snapshot_opens_without_a_warning(
    open_gallery: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in NAMES])
        assert gallery.snapshot_age_seconds() is None
    _assert_sound(open_gallery(), NAMES)
    assert caplog.records == []


def test_only_the_last_snapshot_is_kept_and_leftovers_are_swept_on_opening(
    open_gallery: Open, folder: Path
) -> None:
    with open_gallery() as gallery:
        for name in "abc":
            gallery.enroll(enrollment(name))
            gallery.snapshot()
    snapshot = folder / "snapshot"
    kept = {MANIFEST, _index_file(snapshot).name}
    (snapshot / "0badcafe.tmp").write_bytes(b"half an index")
    (snapshot / "vectors-2-0badcafe.bin").write_bytes(b"published, but its manifest was not")
    (snapshot / "notes.txt").write_bytes(b"not ours")
    _assert_sound(open_gallery(), "abc")
    assert {file.name for file in snapshot.iterdir()} == kept | {"notes.txt"}


def test_snapshots_are_taken_by_themselves_after_so_many_changes(open_gallery: Open, folder: Path) -> None:
    gallery = open_gallery(snapshot_every=3)
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    assert gallery.snapshot_age_seconds() is None
    assert gallery.changes_since_snapshot() == 2
    gallery.delete("a")
    gallery.wait_for_snapshot()
    age = gallery.snapshot_age_seconds()
    assert age is not None
    assert age >= 0
    assert gallery.changes_since_snapshot() == 0
    gallery.enroll(enrollment("c"))
    assert gallery.changes_since_snapshot() == 1
    assert json.loads((folder / "snapshot" / MANIFEST).read_text())["sequence"] == 3


def test_a_large_gallery_is_snapshotted_after_a_tenth_of_it_has_changed(
    open_gallery: Open, folder: Path
) -> None:
    gallery = open_gallery(snapshot_every=2)
    gallery.enroll_many([enrollment(f"{n}") for n in range(100)])

    def sequence() -> int:
        gallery.wait_for_snapshot()
        return int(json.loads((folder / "snapshot" / MANIFEST).read_text())["sequence"])

    assert sequence() == 100
    for n in range(9):
        gallery.enroll(enrollment(f"more-{n}"))
    assert sequence() == 100
    gallery.enroll(enrollment("more"))
    gallery.enroll(enrollment("yet more"))
    assert sequence() == 111


def test_the_log_of_changes_is_cut_back_to_the_snapshot(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment(name) for name in NAMES])
    gallery.snapshot()
    gallery.delete("a")
    assert gallery._store._read("SELECT sequence FROM change") == [(8,), (9,)]


def test_a_snapshot_that_cannot_be_written_fails_loudly_but_no_enrollment_with_it(
    open_gallery: Open,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gallery = open_gallery(snapshot_every=2)
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    gallery.wait_for_snapshot()
    before = (folder / "snapshot" / MANIFEST).read_bytes()

    def full(*_: object) -> Iterator[memoryview]:
        yield memoryview(b"some of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Vectors, "blocks", full)
        with pytest.raises(OSError, match="No space left"):
            gallery.snapshot()
        gallery.enroll_many([enrollment("c"), enrollment("d")])
        gallery.wait_for_snapshot()
        assert "snapshot of the vector index could not be written" in caplog.text
    assert (folder / "snapshot" / MANIFEST).read_bytes() == before
    assert list((folder / "snapshot").glob("*.tmp")) == []
    gallery.enroll_many([enrollment("e"), enrollment("f")])
    gallery.wait_for_snapshot()
    assert (folder / "snapshot" / MANIFEST).read_bytes() != before
    gallery.close()
    caplog.clear()
    _assert_sound(open_gallery(), "abcdef")
    assert caplog.records == []


def test_a_full_disk_is_noticed_while_the_index_is_written(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    open_file = Path.open
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda _, mode: open_file(Path("/dev/full"), mode))
        with pytest.raises(OSError, match="No space left"):
            gallery.snapshot()
    gallery.snapshot()
    assert gallery.changes_since_snapshot() == 0


@pytest.mark.parametrize("kind", ["flat", "compressed", "hnsw"])
def test_what_changes_while_a_snapshot_is_written_is_made_up_for_when_it_is_opened(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: KindSetting
) -> None:
    """Before, between and after the pieces; deleted, enrolled anew, and the index filled anew meanwhile."""
    monkeypatch.setattr("index.vectors.codefile.PIECE", 2 * DIM)
    index = IndexSetup(kind=kind, train_from=8, recent=0)
    gallery = open_gallery(index=index)
    gallery.enroll_many([enrollment(name) for name in NAMES])
    gallery.wait_for_index()
    gallery.wait_for_snapshot()
    blocks = gallery._vectors.blocks
    pieces: list[bytes | memoryview] = []

    def change() -> None:
        match len(pieces):
            case 1:
                gallery.delete("a")
            case 2:
                gallery.delete("d")
                gallery.enroll(enrollment("d"))
            case 9:
                gallery.enroll(enrollment("z"))
                gallery.delete("f")
            case 10:
                gallery.delete("z")

    def blocks_and_changes() -> Iterator[bytes | memoryview]:
        for block in blocks():
            yield block
            pieces.append(block)
            change()

    monkeypatch.setattr(gallery._vectors, "blocks", blocks_and_changes)
    gallery.snapshot()
    assert len(pieces) >= (1 if kind == "flat" else 10)
    held = [record.image_id for record in gallery.page().records]
    _assert_sound(gallery, held)
    gallery.close()
    reopened = open_gallery(index=index)
    assert reopened.index_state().kind == kind
    _assert_sound(reopened, held)
    assert caplog.records == []


def test_an_index_that_is_filled_anew_while_it_is_written_is_written_from_the_start(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery(index=IndexSetup(kind="compressed", train_from=8))
    gallery.enroll_many([enrollment(name) for name in NAMES])
    gallery.wait_for_index()
    gallery.wait_for_snapshot()
    blocks, begun = gallery._vectors.blocks, []

    def blocks_of_an_index_that_is_emptied() -> Iterator[bytes | memoryview]:
        begun.append(True)
        for block in blocks():
            yield block
            if len(begun) == 1:
                rebuild(gallery._vectors, gallery._store.changes)

    monkeypatch.setattr(gallery._vectors, "blocks", blocks_of_an_index_that_is_emptied)
    gallery.snapshot()
    assert len(begun) == 2


def test_a_snapshot_waits_for_an_index_that_is_being_filled_anew(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment(name) for name in NAMES])
    blocks, attempts = gallery._vectors.blocks, []

    def blocks_of_a_broken_index() -> Iterator[bytes | memoryview]:
        attempts.append(gallery._vectors.count)
        if len(attempts) == 1:
            gallery._mirror._suspect = True
            gallery._vectors.clear()
        return blocks()

    monkeypatch.setattr(gallery._vectors, "blocks", blocks_of_a_broken_index)
    gallery.snapshot()
    assert attempts == [8, 8]
    gallery.close()
    _assert_sound(open_gallery(), NAMES)
