"""Which images are found below a folder, and what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.intake.folder import TAKEN, find_images

JPEG = b"\xff\xd8\xff\xe0 and more"


def make(root: Path, *names: str, data: bytes = JPEG) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def found(root: Path) -> tuple[list[str], dict[str, str]]:
    """Paths of the images, and of what is left out with the reasons."""
    it = find_images(root)
    return (
        [path.relative_to(root).as_posix() for path in it.images],
        {left.path.relative_to(root).as_posix(): left.reason for left in it.left_out},
    )


def test_images_are_known_by_name_or_content_and_come_in_order(tmp_path: Path) -> None:
    make(
        tmp_path, "b.JPG", "a/x.jpe", "a/y.jfif", "c.webp", "frame_0001", "d.jpg_large", "e.tiff", "a.d/z.png"
    )
    make(tmp_path, "notes.txt", "list.csv", "README", data=b"text")
    (tmp_path / "folder.jpg").mkdir()
    images, left_out = found(tmp_path)
    assert images == [
        "a/x.jpe",
        "a/y.jfif",
        "a.d/z.png",
        "b.JPG",
        "c.webp",
        "d.jpg_large",
        "e.tiff",
        "frame_0001",
    ]
    assert left_out == {
        "notes.txt": "no image (.txt)",
        "README": "no image (no suffix)",
        "list.csv": "no image; if it is a CSV manifest, name it in place of the folder",
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".thumbnails", "hidden"),
        (".git", "hidden"),
        ("Thumbs", "thumbnails"),
        ("thumbnails", "thumbnails"),
        ("_thumbs", "thumbnails"),
        ("thumb-128", "thumbnails"),
        ("@eaDir", "thumbnails"),
        ("__MACOSX", "of the system"),
        ("$RECYCLE.BIN", "of the system"),
        ("System Volume Information", "of the system"),
        ("lost+found", "of the system"),
    ],
)
def test_what_other_programs_keep_there_is_left_out_and_named_once(
    tmp_path: Path, name: str, reason: str
) -> None:
    make(tmp_path, f"day/{name}/a.jpg", f"day/{name}/deep/b.jpg", "day/c.jpg", "thumbprint/d.jpg")
    assert found(tmp_path) == (["day/c.jpg", "thumbprint/d.jpg"], {f"day/{name}": reason})


def test_hidden_images_are_left_out_but_a_folder_that_is_named_is_not(tmp_path: Path) -> None:
    make(tmp_path, ".cache/._a.jpg", ".cache/b.jpg", ".cache/.DS_Store")
    assert found(tmp_path / ".cache") == (["b.jpg"], {"._a.jpg": "hidden", ".DS_Store": "hidden"})


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/deep/b.jpg", "alone.jpg", "in/a.jpg")
    (tmp_path / "in" / "cam2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "c.jpg").symlink_to(tmp_path / "alone.jpg")
    assert found(tmp_path / "in") == (["a.jpg", "c.jpg", "cam2/deep/b.jpg"], {})


def test_an_image_is_taken_once_under_its_own_name_whatever_links_lead_to_it(tmp_path: Path) -> None:
    make(tmp_path, "z/1.jpg", "other/2.jpg")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "latest.jpg").symlink_to("z/1.jpg")
    (tmp_path / "z" / "up").symlink_to("..")
    (tmp_path / "z" / "self").symlink_to(".")
    images, left_out = found(tmp_path)
    assert images == ["other/2.jpg", "z/1.jpg"]
    assert left_out == dict.fromkeys(["a", "latest.jpg", "z/self", "z/up"], TAKEN)


def test_a_link_to_what_holds_the_folder_takes_nothing_twice(tmp_path: Path) -> None:
    make(tmp_path, "top.jpg", "in/a.jpg")
    (tmp_path / "in" / "up").symlink_to("..")
    assert found(tmp_path / "in") == (["a.jpg", "up/top.jpg"], {"up/in": TAKEN})


def test_links_that_lead_nowhere_may_be_missing_images(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "loop").symlink_to("loop")
    left_out = {left.path.name: (left.reason, left.missing) for left in find_images(tmp_path).left_out}
    assert left_out == {
        "gone.jpg": ("a link that leads nowhere: does not exist", True),
        "loop": ("a link that leads nowhere: is a link that leads back to itself", True),
    }


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    assert found(tmp_path) == ([], {"pipe.jpg": "no regular file", "link.jpg": "no regular file"})


def test_a_folder_that_cannot_be_listed_is_reported_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "shut/a.jpg", "open/b.jpg")
    listed = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    it = find_images(tmp_path)
    assert [path.name for path in it.images] == ["b.jpg"]
    assert [(left.path.name, left.reason, left.missing) for left in it.left_out] == [
        ("shut", "cannot be read: Permission denied", True)
    ]


def test_names_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    make(tmp_path, os.fsdecode(b"caf\xe9.jpg"), "new\nline.jpg")
    assert found(tmp_path)[0] == ["caf\udce9.jpg", "new\nline.jpg"]
