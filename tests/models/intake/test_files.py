"""Whether a file can be read, and how its name is printed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.intake import files
from models.intake.files import RealPaths, why_unreadable
from models.intake.names import shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain é ü.jpg", "plain é ü.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("new\nline\x1b[31m.jpg", r"new\nline\x1b[31m.jpg"),
        ("right\u202eto left", r"right\u202eto left"),
        ("lone \ud800", r"lone \ud800"),
    ],
)
def test_a_name_is_shown_without_what_a_terminal_obeys(name: str, text: str) -> None:
    assert shown(Path(name)) == text


def test_why_a_file_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.jpg").write_bytes(b"xx")
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name, why in (
        ("good.jpg", None),
        ("empty.jpg", "is empty"),
        ("pipe.jpg", "is no regular file"),
        ("loop.jpg", "is a link that leads back to itself"),
        ("gone.jpg", "does not exist"),
        (".", "is a folder"),
        ("n\0l.jpg", "has a name that no file can have"),
        ("x" * 300, "cannot be read: File name too long"),
    ):
        assert why_unreadable(tmp_path / name) == why
    monkeypatch.setattr(files, "MAX_BYTES", 1)
    assert why_unreadable(tmp_path / "good.jpg") == "has 2 bytes, too many for an image"


def test_a_path_is_outside_by_where_it_leads(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "x.jpg").touch()
    (folder / "link.jpg").symlink_to("../x.jpg")
    (folder / "away").symlink_to("..")
    (folder / "near.jpg").symlink_to("deep/../a.jpg")
    real_paths = RealPaths()
    for inside in (".", "a.jpg", "deep/../a.jpg", "near.jpg", str(folder / "a.jpg")):
        assert real_paths.why_outside(folder / inside, folder) is None
    for path in (
        "../x.jpg",
        "link.jpg",
        "away/x.jpg",
        str(tmp_path / "x.jpg"),
        "../in-other/x.jpg",
        "deep/../..",
    ):
        assert str(real_paths.why_outside(folder / path, folder)).startswith("leads to ")
