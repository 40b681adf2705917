"""`images_below`: the images of a folder, with the ids that the command line gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lka_reid_client import InvalidCallError, images_below
from service.remote.sources import find_uploads


def test_ids_are_those_of_the_command_line_and_what_is_known_goes_with_every_image(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/2.png", "a/1.webp", ".hidden/1.png", "a/.1.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    found = images_below(tmp_path, camera_id="gate-3")
    ids = [new.about["image_id"] for new in found]
    assert ids == ["a/1.webp", "a/2.png", "b.JPG"]
    assert ids == [upload.image_id for upload in find_uploads([tmp_path]).uploads]
    assert [new.image for new in found] == [tmp_path / image_id for image_id in ids]
    assert {new.about["camera_id"] for new in found} == {"gate-3"}
    assert images_below(str(tmp_path), camera_id="gate-3") == found


def test_a_folder_without_images_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCallError, match=r"no image is below .*: none of \.bmp, \.jpeg"):
        images_below(tmp_path)
    with pytest.raises(FileNotFoundError):
        images_below(tmp_path / "absent")
    (tmp_path / "file.png").write_bytes(b"x")
    with pytest.raises(NotADirectoryError):
        images_below(tmp_path / "file.png")
