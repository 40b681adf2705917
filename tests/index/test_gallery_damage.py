"""What the disk gives back wrong is named, and never answered as if it were right."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import DamagedImageError, GalleryError, LocalGallery
from index.connections import DATABASE
from tests.index.samples import Open, enrollment

NAMES = "abcdefghijklmnopqrst"
FLIPS = 60


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


def _flip(table: str) -> str:
    """A statement that changes one byte of a row's data."""
    return (
        f"UPDATE {table} SET data = CAST(substr(data, 1, 5) || x'ff' || substr(data, 7) AS BLOB) "  # noqa: S608
        "WHERE record_id = (SELECT id FROM record WHERE image_id = 'c')"
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


def test_a_damaged_descriptor_is_named_when_the_index_is_built(filled: Path, open_gallery: Open) -> None:
    _change(filled, _flip("descriptor"))
    with pytest.raises(DamagedImageError, match="'c' is damaged: its descriptor"):
        open_gallery()


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


def _assert_right_or_refused(open_gallery: Open) -> int:
    """Ask for everything; how often the gallery refused."""
    refusals = 0
    try:
        gallery = open_gallery()
    except GalleryError:
        return 1
    with gallery:
        for name in NAMES:
            given = enrollment(name)
            for check in (_check_record, _check_image, _check_search):
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


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_the_database_gives_right_answers_or_errors(
    filled: Path, open_gallery: Open, source: random.Random
) -> None:
    sound = (filled / DATABASE).read_bytes()
    refused = 0
    for _ in range(FLIPS):
        damaged = bytearray(sound)
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        (filled / DATABASE).write_bytes(damaged)
        refused += bool(_assert_right_or_refused(open_gallery))
        for left in filled.glob("gallery.sqlite-*"):
            left.unlink()
    assert refused > FLIPS // 2
