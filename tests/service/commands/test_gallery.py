"""`lka-reid gallery`: what is said of a gallery, and done to it, while no service has it open."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index import Enrollment, GalleryLossError
from tests.docs.pages import FENCED, ROOT
from tests.service.command_line import Command
from tests.service.fakes import DIM, STRIPS, open_gallery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed gallery of three images, two of them in its snapshot."""
    path = tmp_path / "gallery"
    with open_gallery(path) as gallery:
        for number in range(3):
            gallery.enroll(enrollment(number))
            if number == 1:
                gallery.snapshot()
    return path


def enrollment(number: int) -> Enrollment:
    return Enrollment(
        image_id=f"image-{number}",
        descriptor=np.eye(DIM, dtype=np.float32)[number],
        strips=np.ones(STRIPS, np.float16),
        image=b"\x89PNG\r\n\x1a\n" + bytes([number]) * 92,
        media_type="image/png",
    )


def named(folder: Path) -> list[str]:
    with open_gallery(folder) as gallery:
        return [record.image_id for record in gallery.page().records]


def test_rebuild_says_how_many_images_there_are(command: Command, folder: Path) -> None:
    outcome = command("gallery", "rebuild", "--data-dir", folder)
    assert outcome.code == 0
    assert "3 images" in outcome.out


def test_verify_tells_every_fault_by_its_exit_status_and_drop_damaged_removes_it(
    command: Command, folder: Path
) -> None:
    sound = command("gallery", "verify", "--data-dir", folder)
    assert (sound.code, "3 images were read" in sound.out) == (0, True)
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        connection.execute("UPDATE image SET data = x'00' WHERE record_id = 2")
        connection.commit()
    damaged = command("gallery", "verify", "--data-dir", folder)
    assert damaged.code == 1
    assert "image_id 'image-1' is damaged: its image" in damaged.err
    assert "faults found: 1" in damaged.out
    rebuilt = command("gallery", "rebuild", "--drop-damaged", "--data-dir", folder)
    assert (rebuilt.code, "2 images" in rebuilt.out) == (0, True)
    assert "Removed: image_id 'image-1'" in rebuilt.err
    assert named(folder) == ["image-0", "image-2"]


def test_purge_leaves_nothing_of_a_deleted_image_in_any_file(command: Command, folder: Path) -> None:
    aside = folder / "lost-20240101T000000"
    with open_gallery(folder) as gallery:
        gallery.delete("image-1")
        # As a process that is killed leaves it, with what a repair put aside.
        shutil.copytree(folder, aside)
    gone = enrollment(1)

    def holding(data: bytes) -> list[str]:
        return [file.name for file in folder.rglob("*") if file.is_file() and data in file.read_bytes()]

    assert all(holding(data) for data in (gone.image, b"image-1"))
    outcome = command("gallery", "purge", "--data-dir", folder)
    assert (outcome.code, "holds 2 images" in outcome.out) == (0, True)
    assert f"Removed: {aside.name}" in outcome.out
    assert not any(holding(data) for data in (gone.image, b"image-1"))
    assert command("gallery", "verify", "--data-dir", folder).code == 0
    assert named(folder) == ["image-0", "image-2"]


def test_compact_gives_the_room_of_deleted_images_back(command: Command, folder: Path) -> None:
    with open_gallery(folder) as gallery:
        gallery.enroll(replace(enrollment(3), image=b"x" * 300_000))
        gallery.delete("image-3")
    before = (folder / "gallery.sqlite").stat().st_size
    outcome = command("gallery", "compact", "--data-dir", folder)
    after = (folder / "gallery.sqlite").stat().st_size
    assert (outcome.code, f"has {after:,} bytes; it had {before:,}" in outcome.out) == (0, True)
    assert after < before - 250_000
    assert named(folder) == ["image-0", "image-1", "image-2"]


@pytest.mark.parametrize("action", ["purge", "compact"])
def test_without_a_gallery_nothing_is_made(command: Command, tmp_path: Path, action: str) -> None:
    outcome = command("gallery", action, "--data-dir", tmp_path)
    assert (outcome.code, outcome.out, list(tmp_path.iterdir())) == (2, "", [])
    assert f"there is no gallery in {tmp_path}" in outcome.err


def test_rebuild_without_a_gallery_says_so(command: Command, tmp_path: Path) -> None:
    outcome = command("gallery", "rebuild", "--data-dir", tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"there is no gallery in {tmp_path}" in outcome.err


def test_the_command_that_a_loss_advises_is_the_way_on(command: Command, folder: Path) -> None:
    older = (folder / "gallery.sqlite").read_bytes()
    with open_gallery(folder) as gallery:
        gallery.delete("image-0")
    (folder / "gallery.sqlite").write_bytes(older)
    with pytest.raises(GalleryLossError) as caught:
        open_gallery(folder)
    advised = re.search("`lka-reid ([^`]+)`", str(caught.value))
    assert advised is not None
    wrong = command("gallery", "rebuild", "--data-dir", folder, "--accept-loss", 2)
    assert wrong.code == 2
    assert "2 changes were said to be missing" in wrong.err
    without = command("gallery", "rebuild", "--data-dir", folder)
    assert without.code == 2
    assert "1 change is missing" in without.err
    outcome = command(*advised[1].split())
    assert outcome.code == 0
    assert "3 images" in outcome.out
    assert named(folder) == ["image-0", "image-1", "image-2"]


def test_a_loss_of_everything_is_accepted_too(command: Command, folder: Path) -> None:
    (folder / "gallery.sqlite").unlink()
    outcome = command("gallery", "rebuild", "--data-dir", folder, "--accept-loss", 3)
    assert outcome.code == 0
    assert "the next start makes an empty one" in outcome.out
    assert named(folder) == []


def test_the_steps_of_backup_and_restore_bring_everything_back(folder: Path, tmp_path: Path) -> None:
    """The page's own commands, on a folder in the place of the volume."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = page.split("\n## Backup\n")[1].split("\n## ")[0]
    save, restore = [block for _, block in FENCED.findall(section)][:2]
    _run(save, folder, tmp_path)
    with open_gallery(folder) as gallery:
        gallery.enroll(enrollment(3))
        gallery.snapshot()
    _run(restore, folder, tmp_path)
    assert named(folder) == ["image-0", "image-1", "image-2"]


def _run(steps: str, volume: Path, where: Path) -> None:
    """Run each step of the page: tar as it stands, without Compose around it."""
    ran = 0
    for step in steps.splitlines():
        if "volume rm lka-reid_gallery" in step:
            shutil.rmtree(volume)
            volume.mkdir()
        if "--entrypoint tar api" in step:
            tar = "tar" + step.split("--entrypoint tar api")[1].replace("/data", str(volume))
            subprocess.run(["/bin/sh", "-c", tar], cwd=where, check=True)
            ran += 1
    assert ran == 1
