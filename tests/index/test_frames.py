"""Frames that are kept: with which records they go, and that what comes back is what was kept."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from index import DamagedImageError, Enrollment, Frame, LocalGallery, UnknownFrameError, UnknownImageError
from index.database.connections import DATABASE
from index.database.frames import DELETE_UNUSED

FRAME = Frame(b"a frame", "image/jpeg")
DIM = 4


def open_gallery(path: Path) -> LocalGallery:
    return LocalGallery.open(path, fingerprint="f" * 64, descriptor_dim=DIM, strips_shape=None)


def enroll(gallery: LocalGallery, *image_ids: str) -> None:
    for image_id in image_ids:
        descriptor = np.eye(1, DIM, dtype=np.float32)[0]
        image = Enrollment(
            image_id=image_id, descriptor=descriptor, strips=None, image=b"crop", media_type="image/png"
        )
        gallery.enroll(image)


def frames(path: Path) -> int:
    with sqlite3.connect(path / DATABASE) as database:
        return int(database.execute("SELECT count(*) FROM frame").fetchone()[0])


def test_a_frame_outlives_a_restart_and_is_there_once_for_all_its_images(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a", "b", "c")
        gallery.frames.keep(["a", "b"], FRAME)
        gallery.frames.keep(["a"], FRAME)
    with open_gallery(tmp_path) as gallery:
        assert gallery.frames.of("a") == gallery.frames.of("b") == FRAME
        for image_id in ("c", "nobody", "\0"):
            with pytest.raises(UnknownFrameError, match="no frame is kept"):
                gallery.frames.of(image_id)
    assert frames(tmp_path) == 1


def test_it_goes_with_the_first_of_its_images(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a", "b")
        gallery.frames.keep(["a", "b"], FRAME)
        gallery.delete("b")
        with pytest.raises(UnknownFrameError):
            gallery.frames.of("a")
        assert gallery.get("a").image_id == "a"
    assert frames(tmp_path) == 0


def test_of_an_image_that_is_not_enrolled_nothing_is_kept(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a")
        for unknown in ("nobody", "\0"):
            with pytest.raises(UnknownImageError):
                gallery.frames.keep(["a", unknown], FRAME)
    assert frames(tmp_path) == 0


def test_an_image_keeps_its_first_frame(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a")
        gallery.frames.keep(["a"], FRAME)
        gallery.frames.keep(["a"], Frame(b"another", "image/png"))
        assert gallery.frames.of("a") == FRAME
    assert frames(tmp_path) == 1


def test_keeping_a_frame_does_not_look_through_all_frames(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a")
    with sqlite3.connect(tmp_path / DATABASE) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN {DELETE_UNUSED}", (b"",)).fetchall()
    steps = [step for *_, step in plan]
    assert any("digest=?" in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps


def test_a_frame_that_is_not_as_it_was_kept_is_not_given(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a")
        gallery.frames.keep(["a"], FRAME)
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("UPDATE frame SET data = x'00'")
    with open_gallery(tmp_path) as gallery, pytest.raises(DamagedImageError, match="frame"):
        gallery.frames.of("a")


def test_a_gallery_from_before_there_were_frames_gets_their_tables(tmp_path: Path) -> None:
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a")
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("DROP TABLE record_frame")
        database.execute("DROP TABLE frame")
    with open_gallery(tmp_path) as gallery:
        gallery.frames.keep(["a"], FRAME)
        assert gallery.frames.of("a") == FRAME


def test_of_a_frame_that_went_nothing_is_left_in_any_file(tmp_path: Path) -> None:
    secret = Frame(b"what the frame shows" * 500, "image/jpeg")
    with open_gallery(tmp_path) as gallery:
        enroll(gallery, "a")
        gallery.frames.keep(["a"], secret)
        gallery.delete("a")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not any(b"what the frame shows" in file.read_bytes() for file in files)
