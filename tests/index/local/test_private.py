"""Only the user who runs the service may read a gallery, whatever the umask, and whoever made it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from index import LocalGallery
from index.files.private import tighten
from index.local.loss import accept_loss, find_loss
from index.upkeep.replacement import replacement
from tests.index.samples import Open, earlier_version, enrollment


@pytest.fixture(params=[0o000, 0o022, 0o277], ids=["000", "022", "277"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """What is not private below and at a folder."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # a write-ahead log that is being folded
            mode = stat.S_IMODE(path.stat().st_mode)
            if path.suffix == ".tmp" and not mode & 0o077:
                continue  # a snapshot that is being written
            if mode != (0o700 if path.is_dir() else 0o600):
                found[path.name] = oct(mode)
    return found


@pytest.mark.usefixtures("umask")
def test_every_file_is_private_whatever_the_umask(folder: Path, open_gallery: Open) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
        gallery.snapshot()
        gallery.delete("a")
        assert (folder / "gallery.sqlite-wal").exists()
        assert (folder / "gallery.sqlite-shm").exists()
        assert modes(folder) == {}
    header = LocalGallery.describe(folder)
    with replacement(folder, header) as (_, new):
        new.enroll(enrollment("b"))
        assert modes(folder) == {}
    with open_gallery() as gallery:
        assert modes(folder) == {}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_before_is_tightened_when_it_is_opened(
    folder: Path, open_gallery: Open, kind: str
) -> None:
    earlier_version(1, kind, folder)
    others = folder / "notes.txt"
    others.write_text("not ours")
    others.chmod(0o644)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with open_gallery():
        assert (folder / "backup-version-1").is_dir()
        assert modes(folder) == {"notes.txt": "0o644"}


def test_what_a_loss_leaves_is_private(folder: Path, open_gallery: Open) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
        gallery.snapshot()
    (folder / "gallery.sqlite").unlink()
    (folder / "gallery.acknowledged").chmod(0o644)
    loss = find_loss(folder)
    assert loss is not None
    accept_loss(folder, loss.missing)
    assert modes(folder) == {}


def test_a_folder_that_all_may_write_to_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    tighten(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
