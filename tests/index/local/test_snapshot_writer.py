"""Snapshots are written beside the changes that make them due: they hold nobody up, and lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import GalleryClosedError, LocalGallery
from index.vectors.snapshot import MANIFEST, SnapshotFolder, Staged
from index.vectors.vectors import Vectors
from tests.index.samples import Open, enrollment

PATIENCE = 20.0

LIFE = """
import sys, threading
from pathlib import Path
from index import LocalGallery
from index.vectors.vectors import Vectors
from tests.index.samples import DIM, STRIPS, enrollment

writing = threading.Event()

def write_for_ever(_vectors):
    yield memoryview(b"some of it")
    writing.set()
    threading.Event().wait()

gallery = LocalGallery.open(
    Path(sys.argv[1]), fingerprint="model-a", descriptor_dim=DIM, strips_shape=STRIPS, snapshot_every=3
)
gallery.enroll_many([enrollment(name) for name in "abc"])
gallery.wait_for_snapshot()
Vectors.blocks = write_for_ever
gallery.enroll_many([enrollment(name) for name in "def"])
writing.wait()
for name in "ghijkl":
    gallery.enroll(enrollment(name))
    print(name, flush=True)
sys.stdin.read()
"""


class Held:
    """A step of a snapshot that waits to be let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        assert self.open.wait(PATIENCE)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Held]:
    """Holds the test's snapshots while the index is copied out, or when it is, before they are published."""

    def hold(step: str) -> Held:
        held = Held()
        blocks, publish = Vectors.blocks, SnapshotFolder.publish

        def blocks_held(vectors: Vectors) -> Iterator[bytes | memoryview]:
            for block in blocks(vectors):
                held.wait()
                yield block

        def publish_held(folder: SnapshotFolder, staged: Staged, **options: Any) -> Any:
            held.wait()
            return publish(folder, staged, **options)

        if step == "copying":
            monkeypatch.setattr(Vectors, "blocks", blocks_held)
        else:
            monkeypatch.setattr(SnapshotFolder, "publish", publish_held)
        return held

    return hold


def _closing(gallery: LocalGallery) -> None:
    """Wait until somebody is closing the gallery."""
    thread = gallery._snapshots._thread
    with thread._waking:
        assert thread._waking.wait_for(lambda: thread.closing, PATIENCE)


def _names(folder: Path) -> list[str]:
    return sorted(file.suffix for file in (folder / "snapshot").iterdir())


def _assert_sound(gallery: LocalGallery, names: str) -> None:
    assert [record.image_id for record in gallery.page().records] == list(names)
    for name in names:
        [[match]] = gallery.search(enrollment(name).descriptor[np.newaxis], k=1)
        assert match.record.image_id == name


@pytest.mark.parametrize("step", ["copying", "publishing"])
def test_no_change_waits_for_a_snapshot(
    open_gallery: Open, folder: Path, held: Callable[[str], Held], step: str
) -> None:
    snapshot = held(step)
    gallery = open_gallery(snapshot_every=2)
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    assert snapshot.entered.wait(PATIENCE)
    gallery.enroll(enrollment("c"))
    gallery.delete("a")
    _assert_sound(gallery, "bc")
    assert gallery.snapshot_age_seconds() is None
    snapshot.open.set()
    gallery.wait_for_snapshot()
    # What had come meanwhile made another one due.
    assert gallery.changes_since_snapshot() == 0
    assert json.loads((folder / "snapshot" / MANIFEST).read_text())["sequence"] == 4


def test_closing_abandons_a_snapshot_that_is_being_copied_out(
    open_gallery: Open, folder: Path, held: Callable[[str], Held], caplog: pytest.LogCaptureFixture
) -> None:
    copying = held("copying")
    gallery = open_gallery(snapshot_every=1)
    gallery.enroll(enrollment("a"))
    assert copying.entered.wait(PATIENCE)
    with ThreadPoolExecutor(1) as threads:
        closed = threads.submit(gallery.close)
        _closing(gallery)
        copying.open.set()
        closed.result(PATIENCE)
    assert _names(folder) == []
    _assert_sound(open_gallery(), "a")
    assert caplog.records == []


def test_closing_waits_for_a_snapshot_that_is_copied_out(
    open_gallery: Open, folder: Path, held: Callable[[str], Held], caplog: pytest.LogCaptureFixture
) -> None:
    publishing = held("publishing")
    gallery = open_gallery(snapshot_every=1)
    gallery.enroll(enrollment("a"))
    assert publishing.entered.wait(PATIENCE)
    with ThreadPoolExecutor(1) as threads:
        closed = threads.submit(gallery.close)
        _closing(gallery)
        publishing.open.set()
        closed.result(PATIENCE)
    assert _names(folder) == [".bin", ".json"]
    gallery = open_gallery()
    assert gallery.changes_since_snapshot() == 0
    _assert_sound(gallery, "a")
    assert caplog.records == []


def test_a_snapshot_that_was_asked_for_says_that_the_gallery_was_closed_meanwhile(
    open_gallery: Open, folder: Path, held: Callable[[str], Held]
) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    copying = held("copying")
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(gallery.snapshot)
        assert copying.entered.wait(PATIENCE)
        closed = threads.submit(gallery.close)
        _closing(gallery)
        copying.open.set()
        with pytest.raises(GalleryClosedError):
            asked.result(PATIENCE)
        closed.result(PATIENCE)
    assert _names(folder) == []


def test_what_was_acknowledged_during_a_snapshot_that_kill_9_ended_is_there(
    open_gallery: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LIFE, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(6)] == list("ghijkl")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert _names(folder) == [".bin", ".json", ".tmp"]
    gallery = open_gallery()
    _assert_sound(gallery, "abcdefghijkl")
    assert gallery.changes_since_snapshot() == 9
    assert _names(folder) == [".bin", ".json"]
    assert caplog.records == []
