"""What the disk gives back wrong is named, and never answered as if it were right."""

from __future__ import annotations

import random
import sqlite3
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import DamagedImageError, GalleryDamagedError, GalleryError, GalleryLossError, LocalGallery
from index.database.connections import DATABASE
from index.files.acknowledged import ACKNOWLEDGED, LastChange, read_acknowledged
from index.local.loss import accept_loss
from index.upkeep.repair import rebuild
from index.upkeep.verification import Verified, verify
from tests.index.samples import Open, enrollment

NAMES = "abcdefghijklmnopqrst"
FLIPS = 60
PAGE = 4096


@pytest.fixture
def filled(open_gallery: Open, folder: Path) -> Path:
    """A closed gallery; each image takes pages of its own."""
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name, image=_image(name)) for name in NAMES])
    return folder


def _image(name: str) -> bytes:
    return enrollment(name).image * 200


def _change(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        assert connection.execute(statement, values).rowcount == 1
        connection.commit()


def _flip(table: str, name: str = "c") -> str:
    """A statement that changes one byte of a row's data."""
    return (
        f"UPDATE {table} SET data = CAST(substr(data, 1, 5) || x'ff' || substr(data, 7) AS BLOB) "  # noqa: S608
        f"WHERE record_id = (SELECT id FROM record WHERE image_id = '{name}')"
    )


def test_a_damaged_image_is_named_and_the_others_are_given(filled: Path, open_gallery: Open) -> None:
    _change(filled, _flip("image"))
    gallery = open_gallery()
    with pytest.raises(
        DamagedImageError, match=r"'c' is damaged: its image differs .* delete the image"
    ) as caught:
        gallery.image("c")
    assert caught.value.image_id == "c"
    assert gallery.image("d")[0] == _image("d")
    gallery.delete("c")
    gallery.enroll(enrollment("c", image=_image("c")))
    assert gallery.image("c")[0] == _image("c")


def test_damaged_strips_are_named(filled: Path, open_gallery: Open) -> None:
    _change(filled, _flip("strips"))
    gallery = open_gallery()
    probe = enrollment("c").descriptor[np.newaxis]
    with pytest.raises(DamagedImageError, match="'c' is damaged: its strips"):
        gallery.search(probe, k=3, strips=3)
    assert gallery.search(probe, k=3)[0][0].record.image_id == "c"


def test_missing_strips_are_named(filled: Path, open_gallery: Open) -> None:
    _change(filled, "DELETE FROM strips WHERE record_id = (SELECT id FROM record WHERE image_id = 'c')")
    with pytest.raises(DamagedImageError, match="'c' is damaged: its strips"):
        open_gallery().search(enrollment("c").descriptor[np.newaxis], k=1, strips=1)


def test_a_damaged_descriptor_is_named_when_the_index_is_built_and_only_its_image_is_not_found(
    filled: Path, open_gallery: Open, caplog: pytest.LogCaptureFixture
) -> None:
    _change(filled, _flip("descriptor"))
    gallery = open_gallery()
    assert "image_id 'c' is damaged: its descriptor" in caplog.text
    assert gallery.index_state().left_out == 1
    assert gallery.count() == len(NAMES)
    [matches] = gallery.search(enrollment("c").descriptor[np.newaxis], k=100)
    assert {match.record.image_id for match in matches} == set(NAMES) - {"c"}
    gallery.delete("c")
    gallery.enroll(enrollment("c"))
    assert gallery.index_state().left_out == 0
    [[match]] = gallery.search(enrollment("c").descriptor[np.newaxis], k=1)
    assert match.record.image_id == "c"


def test_a_damaged_record_is_named(filled: Path, open_gallery: Open) -> None:
    _change(filled, "UPDATE record SET vehicle_id = 'another' WHERE image_id = 'c'")
    gallery = open_gallery()
    for ask in (lambda: gallery.get("c"), gallery.page):
        with pytest.raises(DamagedImageError, match="'c' is damaged: its record"):
            ask()


def test_another_images_bytes_are_not_taken_for_this_ones(filled: Path, open_gallery: Open) -> None:
    with closing(sqlite3.connect(filled / DATABASE)) as connection:
        connection.execute("UPDATE image SET record_id = 1000 WHERE record_id = 1")
        connection.execute("UPDATE image SET record_id = 1 WHERE record_id = 2")
        connection.execute("UPDATE checksum SET image = (SELECT image FROM checksum WHERE record_id = 2)")
        connection.commit()
    with pytest.raises(DamagedImageError, match="'a' is damaged"):
        open_gallery().image("a")


def _zero_page_of(folder: Path, name: str) -> None:
    """Zero the first page of a table or an index, as a failing disk may."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        [page] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    with (folder / DATABASE).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))


@pytest.mark.parametrize("table", ["record", "descriptor", "checksum", "change", "gallery"])
def test_a_zeroed_page_that_opening_needs_is_named_with_its_file(
    filled: Path, open_gallery: Open, table: str
) -> None:
    (filled / "gallery.acknowledged").unlink()
    _zero_page_of(filled, table)
    with pytest.raises(GalleryDamagedError, match=f"gallery.sqlite in {filled} is damaged"):
        open_gallery()
    assert verify(filled).findings


@pytest.mark.parametrize("table", ["strips", "image", "sqlite_autoindex_record_1"])
def test_a_zeroed_page_is_an_error_once_it_is_needed_and_a_fault_from_then_on(
    filled: Path, open_gallery: Open, table: str
) -> None:
    _zero_page_of(filled, table)
    gallery = open_gallery()
    assert gallery.fault() is None
    ask: dict[str, Callable[[], object]] = {
        "strips": lambda: gallery.search(enrollment("c").descriptor[np.newaxis], k=1, strips=1),
        "image": lambda: gallery.image("c"),
        "sqlite_autoindex_record_1": lambda: gallery.get("c"),
    }
    for _ in range(2):
        with pytest.raises(GalleryDamagedError, match=r"gallery.sqlite in .* is damaged"):
            ask[table]()
        assert "is damaged" in str(gallery.fault())


def test_a_sound_gallery_has_no_faults_and_verifying_changes_nothing(filled: Path) -> None:
    before = {file: file.read_bytes() for file in filled.rglob("*") if file.is_file()}
    progress: list[tuple[int, int]] = []
    assert verify(filled, lambda *done: progress.append(done)) == Verified(len(NAMES), [])
    assert progress[-1] == (len(NAMES), len(NAMES))
    assert {file: file.read_bytes() for file in filled.rglob("*") if file.is_file()} == before


def test_every_damaged_part_is_found_and_only_its_images_are_dropped(
    filled: Path, open_gallery: Open
) -> None:
    for table, name in (("image", "c"), ("strips", "d"), ("descriptor", "e")):
        _change(filled, _flip(table, name))
    _change(filled, "UPDATE record SET vehicle_id = 'another' WHERE image_id = 'f'")
    findings = verify(filled).findings
    assert [(finding.record_id, finding.text.split(" differs")[0]) for finding in findings] == [
        (3, "image_id 'c' is damaged: its image"),
        (4, "image_id 'd' is damaged: its strips"),
        (5, "image_id 'e' is damaged: its descriptor"),
        (6, "image_id 'f' is damaged: its record"),
    ]
    with pytest.raises(DamagedImageError):
        rebuild(filled)
    rebuilt = rebuild(filled, drop_damaged=True)
    assert rebuilt.images == len(NAMES) - 4
    assert [finding.record_id for finding in rebuilt.dropped] == [3, 4, 5, 6]
    assert verify(filled).findings == []
    with open_gallery() as gallery:
        assert [record.image_id for record in gallery.page().records] == [n for n in NAMES if n not in "cdef"]
        gallery.enroll(enrollment("c"))


def test_a_damaged_index_is_built_anew_and_the_damaged_database_kept(
    filled: Path, open_gallery: Open
) -> None:
    _zero_page_of(filled, "sqlite_autoindex_record_1")
    assert verify(filled).findings
    assert rebuild(filled).images == len(NAMES)
    assert (filled / "gallery.sqlite.damaged").exists()
    assert verify(filled).findings == []
    with open_gallery() as gallery:
        for name in NAMES:
            _check_record(gallery, name, enrollment(name))
            _check_image(gallery, name, enrollment(name))
        assert gallery.enroll(enrollment("z")).image_id == "z"


def _hide_records(folder: Path, shown: int) -> None:
    """Let the table of records show its first ones only, as a flipped bit in a page's header may."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        [page] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'record'").fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    with (folder / DATABASE).open("r+b") as file:
        file.seek((page - 1) * size + 3)
        file.write(shown.to_bytes(2, "big"))


def test_records_that_damage_hides_are_missed(filled: Path, open_gallery: Open) -> None:
    _hide_records(filled, 15)
    for _ in range(2):
        with pytest.raises(GalleryLossError, match=r"shows 15 images, but .* is of 20: 5 images are missing"):
            open_gallery()
    assert "5 images are missing" in verify(filled).findings[0].text
    with pytest.raises(GalleryLossError):
        rebuild(filled, drop_damaged=True)
    accept_loss(filled, 5)
    rebuilt = rebuild(filled, drop_damaged=True)
    assert (rebuilt.images, {finding.record_id for finding in rebuilt.dropped}) == (15, {16, 17, 18, 19, 20})
    assert verify(filled).findings == []
    with open_gallery() as gallery:
        assert [record.image_id for record in gallery.page().records] == list(NAMES[:15])


def test_images_are_counted_from_what_was_noted_before_a_power_cut(filled: Path, open_gallery: Open) -> None:
    noted = (filled / ACKNOWLEDGED).read_bytes()
    with open_gallery() as gallery:
        gallery.delete("a")
        gallery.delete("b")
        gallery.enroll(enrollment("z"))
    (filled / ACKNOWLEDGED).write_bytes(noted)
    _hide_records(filled, 18)
    with pytest.raises(GalleryLossError, match=r"shows 18 images, but .* is of 19: 1 image is missing"):
        open_gallery()


def test_a_note_without_a_count_proves_its_change_alone(filled: Path, open_gallery: Open) -> None:
    number = f"{len(NAMES):020}".encode()
    (filled / ACKNOWLEDGED).write_bytes(number + b" %08x\n" % zlib.crc32(number))
    with open_gallery():
        pass
    assert read_acknowledged(filled) == LastChange(len(NAMES), len(NAMES))


def test_a_damaged_media_type_is_not_served_with_the_image(filled: Path, open_gallery: Open) -> None:
    _change(filled, "UPDATE record SET media_type = 'text/html' WHERE image_id = 'c'")
    with pytest.raises(DamagedImageError, match="'c' is damaged: its record"):
        open_gallery().image("c")


def test_a_damaged_table_is_not_mended(filled: Path) -> None:
    _zero_page_of(filled, "record")
    before = (filled / DATABASE).read_bytes()
    with pytest.raises(GalleryDamagedError):
        rebuild(filled)
    assert (filled / DATABASE).read_bytes() == before


def _assert_right_or_refused(open_gallery: Open) -> int:
    """Ask for everything; how often the gallery refused."""
    refusals = 0
    try:
        gallery = open_gallery()
    except GalleryError:
        return 1
    with gallery:
        # Those are counted, and in no answer.
        left_out = gallery.index_state().left_out
        refusals += left_out
        checks = (_check_record, _check_image, *(() if left_out else (_check_search,)))
        for name in NAMES:
            given = enrollment(name)
            for check in checks:
                try:
                    check(gallery, name, given)
                except GalleryError:
                    refusals += 1
    return refusals


def _check_record(gallery: LocalGallery, name: str, given: Any) -> None:
    record = gallery.get(name)
    assert (record.image_id, record.vehicle_id, record.tags) == (name, given.vehicle_id, given.tags)
    assert record.captured_at == given.captured_at


def _check_image(gallery: LocalGallery, name: str, given: Any) -> None:
    assert gallery.image(name) == (_image(name), given.media_type)


def _check_search(gallery: LocalGallery, name: str, given: Any) -> None:
    [[match]] = gallery.search(given.descriptor[np.newaxis], k=1, strips=1)
    assert match.record.image_id == name
    assert match.similarity == pytest.approx(1.0)
    np.testing.assert_array_equal(np.asarray(match.strips), given.strips)


def _flipped(sound: bytes, folder: Path, open_gallery: Open, source: random.Random) -> bool:
    """Flip one bit of the database and ask for everything; whether anything was refused."""
    damaged = bytearray(sound)
    damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
    return _refused(bytes(damaged), folder, open_gallery)


def _refused(damaged: bytes, folder: Path, open_gallery: Open) -> bool:
    (folder / DATABASE).write_bytes(damaged)
    try:
        return bool(_assert_right_or_refused(open_gallery))
    finally:
        for left in folder.glob("gallery.sqlite-*"):
            left.unlink()


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_the_database_gives_right_answers_or_errors(
    filled: Path, open_gallery: Open, source: random.Random
) -> None:
    sound = (filled / DATABASE).read_bytes()
    refused = 0
    for _ in range(FLIPS):
        refused += _flipped(sound, filled, open_gallery, source)
    assert refused > FLIPS // 2


@pytest.mark.slow
def test_a_page_that_a_disk_puts_in_anothers_place_gives_right_answers_or_errors(
    filled: Path, open_gallery: Open, source: random.Random
) -> None:
    sound = (filled / DATABASE).read_bytes()
    pages = [sound[start : start + PAGE] for start in range(0, len(sound), PAGE)]
    # Those of other tables, each with other types of columns, are the first.
    for place in range(1, 24):
        moved = list(pages)
        moved[place] = source.choice(pages[1:24])
        if _refused(b"".join(moved), filled, open_gallery):
            assert verify(filled).findings


@pytest.mark.soak
def test_flipped_bits_give_right_answers_or_errors_for_long(
    filled: Path, open_gallery: Open, source: random.Random, soak_s: float
) -> None:
    until, flips, refused = time.monotonic() + soak_s, 0, 0
    sound = (filled / DATABASE).read_bytes()
    while time.monotonic() < until:
        refused += _flipped(sound, filled, open_gallery, source)
        flips += 1
    print(f"{flips:,} flipped bits: {refused:,} refused, {flips - refused:,} answered right")
