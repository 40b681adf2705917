"""Changes that were acknowledged and are gone are never passed over, and what proves them is not touched."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from index import GalleryLossError, LocalGallery
from index.database.connections import DATABASE
from index.files.acknowledged import ACKNOWLEDGED
from index.local.loss import WAL, accept_loss, find_loss
from index.upkeep.repair import rebuild
from tests.index.samples import Open, enrollment

LIFE = """
import os, sys
from pathlib import Path
from index import LocalGallery
from tests.index.samples import DIM, STRIPS, enrollment

gallery = LocalGallery.open(Path(sys.argv[1]), fingerprint="model-a", descriptor_dim=DIM, strips_shape=STRIPS)
for name in sys.argv[2]:
    gallery.enroll(enrollment(name))
os.kill(os.getpid(), 9)
"""


def _files(folder: Path) -> dict[str, str]:
    """All but the lock, and SQLite's shared memory, which says nothing of the contents."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock" and not file.name.endswith("-shm")
    }


def _killed(folder: Path, names: str) -> None:
    """Enroll images one by one, the last acknowledged, in a process that dies by SIGKILL then."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    life = subprocess.run([sys.executable, "-c", LIFE, str(folder), names], env=environment, check=False)
    assert life.returncode == -9


def _names(gallery: LocalGallery) -> str:
    return "".join(record.image_id for record in gallery.page().records)


def _empty(folder: Path) -> None:
    (folder / DATABASE).write_bytes(b"")


def _remove(folder: Path) -> None:
    (folder / DATABASE).unlink()


@pytest.fixture
def filled(open_gallery: Open, folder: Path) -> Path:
    """A closed gallery: a, b and c in a snapshot, then d."""
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in "abc"])
        gallery.snapshot()
        gallery.enroll(enrollment("d"))
    return folder


@pytest.mark.parametrize("lose", [_empty, _remove])
@pytest.mark.parametrize(
    ("witnesses", "missing"), [("both", 4), ("acknowledged", 4), ("snapshot", 3)], ids=lambda each: str(each)
)
def test_a_database_that_was_emptied_or_removed_is_refused_and_nothing_touched(
    filled: Path, open_gallery: Open, lose: Callable[[Path], None], witnesses: str, missing: int
) -> None:
    lose(filled)
    if witnesses == "acknowledged":
        shutil.rmtree(filled / "snapshot")
    elif witnesses == "snapshot":
        (filled / ACKNOWLEDGED).unlink()
    before = _files(filled)
    for _ in range(2):
        with pytest.raises(GalleryLossError) as caught:
            open_gallery()
        assert caught.value.missing == missing
        assert f"{missing} changes are missing; nothing was touched" in str(caught.value)
        assert f"rebuild --accept-loss {missing} --data-dir {filled}`" in str(caught.value)
        assert _files(filled) == before


def test_an_older_database_in_place_of_the_present_one_is_refused(
    filled: Path, open_gallery: Open, tmp_path: Path
) -> None:
    shutil.copy(filled / DATABASE, tmp_path / DATABASE)
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in "efg"])
    shutil.copy(tmp_path / DATABASE, filled / DATABASE)
    before = _files(filled)
    with pytest.raises(GalleryLossError, match=r"ends at change 4, but .* is of change 7: 3 changes"):
        open_gallery()
    assert _files(filled) == before
    accept_loss(filled, 3)
    assert _names(open_gallery()) == "abcd"


@pytest.mark.parametrize("damage", ["flipped", "cut", "removed"])
def test_a_damaged_write_ahead_log_after_a_kill_is_refused_and_kept(
    folder: Path, open_gallery: Open, damage: str
) -> None:
    _killed(folder, "abcdefgh")
    log = folder / WAL
    content = bytearray(log.read_bytes())
    source = random.Random(1)
    for _ in range(8):
        damaged = bytearray(content)
        place = source.randrange(len(damaged))
        if damage == "flipped":
            damaged[place] ^= 1 << source.randrange(8)
        elif damage == "cut":
            del damaged[place:]
        log.write_bytes(damaged)
        if damage == "removed":
            log.unlink()
        before = _files(folder)
        with pytest.raises(GalleryLossError):
            open_gallery()
        assert _files(folder) == before
    log.write_bytes(content)
    (folder / f"{DATABASE}-shm").unlink(missing_ok=True)
    assert _names(open_gallery()) == "abcdefgh"


def test_a_kill_alone_is_no_loss(folder: Path, open_gallery: Open) -> None:
    _killed(folder, "abc")
    assert find_loss(folder) is None
    assert _names(open_gallery()) == "abc"


def test_a_loss_is_accepted_by_its_number_and_what_proves_it_is_kept(
    folder: Path, open_gallery: Open
) -> None:
    _killed(folder, "abcdef")
    log = bytearray((folder / WAL).read_bytes())
    log[len(log) * 2 // 3] ^= 4
    (folder / WAL).write_bytes(log)
    loss = find_loss(folder)
    assert loss is not None
    before = _files(folder)
    with pytest.raises(ValueError, match=f"{loss.missing + 1} changes were said .*, {loss.missing} are"):
        accept_loss(folder, loss.missing + 1)
    assert _files(folder) == before
    aside = accept_loss(folder, loss.missing)
    assert (aside / WAL).read_bytes() == log
    assert (aside / ACKNOWLEDGED).exists()
    assert rebuild(folder).images == 6 - loss.missing
    with open_gallery() as gallery:
        assert _names(gallery) == "abcdef"[: -loss.missing]
        gallery.enroll(enrollment("z"))
    with open_gallery() as gallery:
        assert _names(gallery) == "abcdef"[: -loss.missing] + "z"
    with pytest.raises(ValueError, match="none is"):
        accept_loss(folder, 1)


def test_an_accepted_loss_of_everything_lets_an_empty_gallery_begin(filled: Path, open_gallery: Open) -> None:
    _remove(filled)
    aside = accept_loss(filled, 4)
    assert {file.name for file in aside.iterdir()} == {ACKNOWLEDGED, "snapshot"}
    with pytest.raises(FileNotFoundError):
        rebuild(filled)
    assert _names(open_gallery()) == ""


@pytest.mark.parametrize("content", [b"", b"0" * 30, b"00000000000000000099 00000000\n", b"\xff"])
def test_a_damaged_number_of_the_last_change_proves_nothing_and_is_written_anew(
    filled: Path, open_gallery: Open, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (filled / ACKNOWLEDGED).write_bytes(content)
    with open_gallery() as gallery:
        assert _names(gallery) == "abcd"
    assert ("is damaged" in caplog.text) == bool(content)
    _empty(filled)
    with pytest.raises(GalleryLossError) as caught:
        open_gallery()
    assert caught.value.missing == 4


def test_a_rebuilt_gallery_has_a_snapshot_of_its_database(filled: Path, open_gallery: Open) -> None:
    [snapshot] = (filled / "snapshot").glob("*.bin")
    snapshot.write_bytes(b"")
    assert rebuild(filled).images == 4
    with open_gallery() as gallery:
        assert gallery.changes_since_snapshot() == 0
        assert _names(gallery) == "abcd"
