"""Collections are galleries apart; creating and dropping one is durable, or did not happen."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from index import (
    DEFAULT,
    Decision,
    DuplicateCollectionError,
    FixedCollectionError,
    Frame,
    Gallery,
    GalleryClosedError,
    GalleryError,
    InvalidCollectionError,
    InvalidQuotaError,
    LocalCollections,
    LocalGallery,
    Quota,
    QuotaReachedError,
    TooManyCollectionsError,
    UnknownCollectionError,
    collections,
)
from index.collections import FOLDER
from tests.index.samples import DIM, STRIPS, enrollment

OURS = str(Path(collections.__file__))


def opened(path: Path, **changes: Any) -> LocalGallery:
    settings: dict[str, Any] = {"fingerprint": "model-a", "descriptor_dim": DIM, "strips_shape": STRIPS}
    return LocalGallery.open(path, **(settings | changes))


class Opened:
    """The collections of a folder; on leaving all are closed."""

    def __init__(self, folder: Path, open_gallery: Callable[[Path], Gallery] = opened) -> None:
        self._default = opened(folder)
        try:
            self._made = LocalCollections(folder, self._default, open_gallery)
        except BaseException:
            self._default.close()
            raise

    def __enter__(self) -> LocalCollections:
        return self._made

    def __exit__(self, *_: object) -> None:
        self._made.close()
        self._default.close()


def held(made: LocalCollections) -> dict[str, list[str]]:
    """Names, and the image_ids in each."""
    return {name: [record.image_id for record in made.get(name).page().records] for name in made.names()}


def test_collections_are_apart_and_stay(folder: Path) -> None:
    with Opened(folder) as made:
        made.get(DEFAULT).enroll(enrollment("a"))
        made.create("north", Quota()).enroll_many([enrollment("a", vehicle_id="other"), enrollment("b")])
        made.create("east-2", Quota())
        made.get("north").delete("b")
    with Opened(folder) as made:
        assert held(made) == {DEFAULT: ["a"], "east-2": [], "north": ["a"]}
        assert made.get("north").get("a").vehicle_id == "other"
        probe = enrollment("b").descriptor[np.newaxis]
        assert [len(made.get(name).search(probe, 9)[0]) for name in made.names()] == [1, 0, 1]


def test_what_is_known_of_a_camera_is_known_of_it_in_its_collection(folder: Path) -> None:
    with Opened(folder, lambda path: opened(path, normalisation="on")) as made:
        north, south = made.create("north", Quota()), made.create("south", Quota())
        for number in range(4):
            north.enroll(enrollment(f"{number}", camera_id=f"camera-{number % 2}"))
        south.enroll(enrollment("s", camera_id="camera-0"))
        assert north.cameras.state("camera-0").enrolled == 2
        assert south.cameras.state("camera-0").enrolled == 1
        made.drop("north")
        assert south.cameras.state("camera-0").enrolled == 1


def test_a_dropped_collection_is_gone_from_the_folder_and_its_name_is_free(folder: Path) -> None:
    with Opened(folder) as made:
        gallery = made.create("north", Quota())
        gallery.enroll(enrollment("a"))
        made.drop("north")
        with pytest.raises(UnknownCollectionError, match="'north'"):
            made.get("north")
        with pytest.raises(GalleryClosedError):
            gallery.get("a")
        assert list((folder / FOLDER).iterdir()) == []
        assert made.create("north", Quota()).count() == 0
    with Opened(folder) as made:
        assert held(made) == {DEFAULT: [], "north": []}


@pytest.mark.parametrize("name", ["", "North", "-a", "a/b", "..", ".a", "a" * 64, "größe", "a b", "a\n"])
def test_a_name_that_is_no_folder_everywhere_is_refused(folder: Path, name: str) -> None:
    with Opened(folder) as made, pytest.raises(InvalidCollectionError, match="a name has 1 "):
        made.create(name, Quota())


def test_what_cannot_be_done_is_refused_and_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "MOST", 1)
    with Opened(folder) as made:
        made.create("north", Quota())
        for name in ("north", DEFAULT):
            with pytest.raises(DuplicateCollectionError):
                made.create(name, Quota())
        with pytest.raises(TooManyCollectionsError, match="1 collections"):
            made.create("south", Quota())
        with pytest.raises(InvalidQuotaError):
            made.create("south", Quota(images=-1))
        with pytest.raises(FixedCollectionError, match="always there"):
            made.drop(DEFAULT)
        with pytest.raises(UnknownCollectionError):
            made.drop("south")
        assert made.names() == [DEFAULT, "north"]


def test_a_drop_that_the_disk_refuses_leaves_the_collection_in_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Opened(folder) as made:
        made.create("north", Quota()).enroll(enrollment("a"))

        def refuse(*_: object) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(Path, "replace", refuse)
            with pytest.raises(OSError, match="Input/output"):
                made.drop("north")
        assert made.get("north").get("a").image_id == "a"


def test_one_that_cannot_be_opened_stops_the_opening_and_releases_the_others(folder: Path) -> None:
    with Opened(folder) as made:
        made.create("a", Quota())
        made.create("b", Quota())
    (folder / FOLDER / "b" / "gallery.sqlite").write_bytes(b"no database at all")
    with pytest.raises(GalleryError, match=r"cannot open|damaged"), Opened(folder):
        pass
    with opened(folder / FOLDER / "a") as alone:
        assert alone.count() == 0


def test_a_quota_holds_exactly_and_survives_reopening(folder: Path) -> None:
    with Opened(folder) as made:
        gallery = made.create("north", Quota(images=2))
        gallery.enroll(enrollment("a"))
        with pytest.raises(QuotaReachedError, match="may hold 2 images"):
            gallery.enroll_many([enrollment("b"), enrollment("c")])
        assert gallery.count() == 1
        gallery.enroll(enrollment("b"))
    with Opened(folder) as made:
        gallery = made.get("north")
        assert (gallery.quotas.quota(), gallery.quotas.usage().images) == (Quota(images=2), 2)
        with pytest.raises(QuotaReachedError):
            gallery.enroll(enrollment("c"))
        gallery.delete("a")
        gallery.enroll(enrollment("c"))
        gallery.quotas.set(Quota())
        gallery.enroll(enrollment("d"))
        assert made.get(DEFAULT).quotas.quota() == Quota()


def test_a_quota_of_bytes_is_never_exceeded_and_deletions_make_room(folder: Path) -> None:
    with Opened(folder) as made:
        gallery = made.create("north", Quota())
        limit = gallery.quotas.usage().bytes + 200_000
        gallery.quotas.set(Quota(bytes=limit))
        while gallery.quotas.usage().bytes <= limit - 40_000:
            gallery.enroll(enrollment(f"{gallery.count()}", image=bytes(20_000)))
        assert 5 <= gallery.count() <= 10
        with pytest.raises(QuotaReachedError, match=f"{limit:,} bytes"):
            gallery.enroll(enrollment("large", image=bytes(60_000)))
        assert limit - 40_000 < gallery.quotas.usage().bytes <= limit
        gallery.delete("0")
        gallery.enroll(enrollment("again", image=bytes(20_000)))


def test_a_quota_of_bytes_holds_for_what_is_kept_besides_images(folder: Path) -> None:
    """Whoever may only search keeps probes by verdicts."""
    with opened(folder) as gallery:
        gallery.enroll(enrollment("a"))
        small = Decision(b"small", "image/png", "a", "same")
        gallery.verdicts.decide(small)
        limit = gallery.quotas.usage().bytes + 50_000
        gallery.quotas.set(Quota(bytes=limit))
        with pytest.raises(QuotaReachedError):
            gallery.verdicts.decide(Decision(bytes(100_000), "image/png", "a", "same"))
        with pytest.raises(QuotaReachedError):
            gallery.frames.keep(["a"], Frame(bytes(100_000), "image/png"))
        assert gallery.quotas.usage().bytes <= limit
        assert len(gallery.verdicts.page().verdicts) == 1
        gallery.quotas.set(Quota(bytes=0))
        for number in range(100):
            with suppress(QuotaReachedError):
                gallery.cameras.calibrate(f"camera-{number}", enrollment("b").descriptor, bytes([number]))
        assert gallery.quotas.usage().bytes <= limit
        kept = gallery.verdicts.decide(replace(small, kind="different"))
        assert kept.kind == "different", "what takes no more bytes is let through"


def test_enrolling_while_a_collection_is_dropped_is_acknowledged_before_or_refused(folder: Path) -> None:
    with Opened(folder) as made:
        gallery, refused = made.create("north", Quota()), threading.Event()

        def enroll() -> None:
            for number in range(10_000):
                try:
                    gallery.enroll(enrollment(f"{number}"))
                except GalleryClosedError:
                    refused.set()
                    return

        thread = threading.Thread(target=enroll)
        thread.start()
        while not gallery.count():
            pass
        made.drop("north")
        thread.join(20)
        assert refused.is_set()
        assert list((folder / FOLDER).iterdir()) == []


@pytest.fixture
def template(folder: Path) -> Path:
    with Opened(folder) as made:
        made.create("north", Quota(images=3)).enroll(enrollment("a"))
    return folder


def _killed_at(line: int, folder: Path, act: Callable[[LocalCollections], object]) -> bool:
    """Whether a process that acts on the collections was killed before its line of so many in the module."""
    child = os.fork()
    if child == 0:
        try:
            default = opened(folder)
            made = LocalCollections(folder, default, opened)
            passed = 0

            def trace(frame: FrameType, event: str, _argument: object) -> Any:
                nonlocal passed
                if frame.f_code.co_filename != OURS:
                    return None
                if event == "line":
                    if passed == line:
                        os.kill(os.getpid(), signal.SIGKILL)
                    passed += 1
                return trace

            sys.settrace(trace)
            act(made)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("what", ["drop", "create"])
def test_a_process_killed_while_it_creates_or_drops_leaves_all_or_nothing_of_it(
    template: Path, what: str
) -> None:
    seen = []
    for line in range(200):
        if what == "drop":
            died = _killed_at(line, template, lambda made: made.drop("north"))
        else:
            died = _killed_at(line, template, lambda made: made.create("south", Quota(images=7)))
        with Opened(template) as made:
            names = made.names()
            seen.append(names)
            assert sorted(path.name for path in (template / FOLDER).iterdir()) == names[1:]
            if what == "drop":
                if "north" not in names:
                    made.create("north", Quota(images=3)).enroll(enrollment("a"))
                assert held(made)["north"] == ["a"]
            else:
                assert held(made)["north"] == ["a"]
                if "south" in names:
                    assert made.get("south").quotas.quota() == Quota(images=7)
                    made.drop("south")
        if not died:
            break
    assert len({tuple(names) for names in seen}) == 2
    assert 10 < len(seen) < 200
