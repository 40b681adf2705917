"""Run as a program, it has a gallery worked on by processes that are killed at random, and looks after each.

    python -m tests.index.restless FOLDER SEED KILLS SECONDS

A process of its own says each change before it makes it and after it was acknowledged, and dies by SIGKILL a
random while later; another one then opens the gallery, and holds it against what was said. It ends after so
many kills and so many seconds, whichever comes last, and prints how many there were and what was under way.
An error ends it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from index import (
    Enrollment,
    Filter,
    GalleryHeader,
    LocalGallery,
    NotErasedError,
    UnknownImageError,
)
from index.local import erasure
from index.upkeep import importing
from index.upkeep.archive import export
from index.upkeep.archive_reader import ArchiveReader
from index.upkeep.backup import back_up, restore
from index.upkeep.folder import open_found
from index.upkeep.importing import Became, import_archive
from index.upkeep.replacement import replacement
from index.upkeep.verification import verify
from tests.index.samples import DIM, STRIPS, enrollment
from tests.index.statistics import assert_statistics_are_recomputed_ones

MODELS = ("model-a", "model-b")
OLD, DAYS = "old", 30
"""Images whose names begin so are older than images are kept."""
CAMERAS = ("c0", "c1", "c2", "c3")
UPKEEP = ("snapshot", "erase", "compact", "calibrate")
LONGEST_S = 0.25
"""s after an opening that a process lives at most."""
IMPORTED = [f"imported-{number}" for number in range(12)]

State = dict[str, str | None]
"""Of each image_id its camera."""
Say = Callable[[Any], None]


def made(name: str, camera_id: str | None) -> Enrollment:
    """The enrollment of a name."""
    days = DAYS + 10 if name.startswith(OLD) else 1
    return enrollment(
        name, camera_id=camera_id, captured_at=None, enrolled_at=datetime.now(UTC) - timedelta(days=days)
    )


def work(folder: Path, seed: int, say: Say) -> None:
    """Change a gallery for ever, and say so."""
    chosen = random.Random(seed)
    header = LocalGallery.describe(folder) if (folder / "gallery.sqlite").exists() else None
    gallery = LocalGallery.open(
        folder,
        fingerprint=MODELS[0] if header is None else header.fingerprint,
        descriptor_dim=DIM,
        strips_shape=STRIPS,
        snapshot_every=5,
        normalisation="on",
    )
    say("open")
    while True:
        names = [record.image_id for record in gallery.page(limit=1000).records]
        name = chosen.choice(names) if names else "none"
        camera = chosen.choice(CAMERAS)
        action = chosen.choice(
            ["enroll", "batch", "enroll", "batch", *("delete", "update", "where", "retain"), *UPKEEP]
        )
        if len(names) > 60:
            action = "where"
        fresh = [f"{chosen.choice(['', OLD])}{chosen.getrandbits(60)}" for _ in range(chosen.randrange(2, 9))]
        say({"do": action, "name": name, "camera": camera, "fresh": fresh})
        if action == "enroll":
            gallery.enroll(made(fresh[0], camera))
        elif action == "batch":
            gallery.enroll_many([made(one, camera) for one in fresh])
        elif action in ("delete", "update") and name in names:
            try:
                if action == "delete":
                    gallery.delete(name)
                else:
                    gallery.update(name, {"camera_id": camera, "tags": (camera,)})
            except UnknownImageError:
                # Retention may have been faster.
                if not name.startswith(OLD):
                    raise
        elif action == "where":
            gallery.delete_where(Filter(camera_ids=frozenset({camera})))
        elif action == "retain":
            gallery.retention.set(DAYS)
            gallery.retention.apply()
        elif action == "snapshot":
            gallery.snapshot()
        elif action == "erase":
            try:
                gallery.erase(in_use=False)
            except NotErasedError as error:
                say(str(error))
        elif action == "compact":
            gallery.compact()
        elif action == "calibrate":
            gallery.cameras.calibrate(camera, made(fresh[0], camera).descriptor, fresh[0].encode())
        say("done")


def after(state: State, change: dict[str, Any]) -> State:
    """What a change makes of a state."""
    action, name, camera = change["do"], change["name"], change["camera"]
    if action == "enroll":
        return state | {change["fresh"][0]: camera}
    if action == "batch":
        return state | dict.fromkeys(change["fresh"], camera)
    if action == "delete":
        return {one: held for one, held in state.items() if one != name}
    if action == "update" and name in state:
        return state | {name: camera}
    if action == "where":
        return {one: held for one, held in state.items() if held != camera}
    if action == "retain":
        return {one: held for one, held in state.items() if not one.startswith(OLD)}
    return state


def bring_in(archive: Path, folder: Path, say: Say) -> None:
    """Import an archive, two images a transaction, and say what is reported as enrolled."""
    importing.AT_ONCE = 2  # type: ignore[misc]
    say("open")
    with ArchiveReader(archive) as reader:
        for image_id, became, _ in import_archive(reader, folder):
            if became is Became.enrolled:
                say({"enrolled": image_id})
    say("done")


def save(folder: Path, target: Path, say: Say) -> None:
    """Make a backup and an archive of a gallery."""
    say("open")
    back_up(folder, target / "backup")
    export(folder, target / "archive.zip")
    say("done")


def exchange(folder: Path, say: Say) -> None:
    """Put a gallery of the other model in its place, as re-embedding does, and go on where it was."""
    say("open")
    found = LocalGallery.describe(folder).fingerprint
    header = GalleryHeader(next(model for model in MODELS if model != found), DIM, STRIPS)
    with replacement(folder, header) as (old, new):
        wanted = {record.image_id: record for record in old.page(limit=1000).records}
        for record in new.page(limit=1000).records:
            there = wanted.get(record.image_id)
            if there is not None and there.camera_id == record.camera_id:
                del wanted[record.image_id]
            else:
                new.delete(record.image_id)
        for record in wanted.values():
            new.enroll(replace(made(record.image_id, record.camera_id), enrolled_at=record.enrolled_at))
    say("done")


def look(folder: Path, say: Say) -> None:
    """Hold a gallery against its own rules, and say what it holds."""
    with open_found(folder) as gallery:
        records = gallery.page(limit=1000).records
        say({record.image_id: record.camera_id for record in records})
        for record in records:
            assert gallery.image(record.image_id)[0] == enrollment(record.image_id).image
        assert_statistics_are_recomputed_ones(gallery)
        # By the writing connection, which the gallery's threads use, too.
        with gallery._mirror.settled():
            np.testing.assert_array_equal(gallery._vectors.ids(), gallery._store.changes.ids())
        if records:
            [found] = gallery.search(enrollment(records[0].image_id).descriptor[np.newaxis], k=1000)
            assert {match.record for match in found} == set(records)
    assert verify(folder).findings == []


class _Ending(logging.Handler):
    """Ends a process whose gallery logs an error, however well it goes on."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.ERROR)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say({"error": self.format(record)})
        os._exit(1)


class Restless:
    """The gallery in a folder, and what it must hold.

    Args:
        folder: for the gallery, and all else.
        seed: of the choices.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._gallery = folder / "gallery"
        self._target = folder / "target"
        self._archive = folder / "imported.zip"
        self._chosen = random.Random(seed)
        self.state: State = {}
        self.under_way: Counter[str] = Counter()
        self._run(self._prepare, None)

    def _prepare(self, say: Say) -> None:
        source = self._archive.with_name("source")
        with LocalGallery.open(
            source, fingerprint=MODELS[0], descriptor_dim=DIM, strips_shape=STRIPS
        ) as gallery:
            gallery.enroll_many([made(name, "c0") for name in IMPORTED])
        export(source, self._archive)
        say("done")

    def kill_once(self) -> None:
        """Have it worked on, kill whoever does so, and look after it."""
        kind = "work"
        if self._gallery.exists():
            kind = self._chosen.choice(["work"] * 6 + ["import", "save", "exchange"])
        if kind == "import" and LocalGallery.describe(self._gallery).fingerprint != MODELS[0]:
            kind = "exchange"
        lives_s = self._chosen.uniform(0, LONGEST_S)
        said: list[Any] = []
        if kind == "work":
            seed = self._chosen.getrandbits(32)
            said = self._run(lambda say: work(self._gallery, seed, say), lives_s)
            allowed = self._followed(said)
        elif kind == "import":
            said = self._run(lambda say: bring_in(self._archive, self._gallery, say), lives_s)
            enrolled = [each["enrolled"] for each in said if isinstance(each, dict)]
            self.state = self.state | {name: self.state.get(name, "c0") for name in enrolled}
            both = self.state | {name: self.state.get(name, "c0") for name in IMPORTED}
            # In the order of the archive, two at a time.
            allowed = [
                self.state | {name: both[name] for name in IMPORTED[:count]}
                for count in range(len(IMPORTED) + 1)
            ]
            self.under_way["import"] += 1
        elif kind == "save":
            shutil.rmtree(self._target, ignore_errors=True)
            self._run(lambda say: save(self._gallery, self._target, say), lives_s)
            allowed = [self.state]
            self.under_way["save"] += 1
        else:
            self._run(lambda say: exchange(self._gallery, say), lives_s)
            # Images that are too old may go as soon as the new gallery knows how long they are kept.
            allowed = [self.state, after(self.state, {"do": "retain", "name": "", "camera": ""})]
            self.under_way["exchange"] += 1
        [found] = self._run(lambda say: look(self._gallery, say), None)
        # Retention looks once more a moment after it was set: what is too old then goes, too.
        may_go = any(isinstance(each, dict) and each.get("do") == "retain" for each in said)
        if not any(_is(found, state, may_go=may_go) for state in allowed):
            raise AssertionError(f"{kind}: holds {found}, allowed are {allowed}; said last {said[-8:]}")
        self.state = found
        if (self._target / "backup").exists():
            self._run(self._restore, None)

    def _restore(self, say: Say) -> None:
        elsewhere = self._target / "restored"
        restore(self._target / "backup", elsewhere)
        look(elsewhere, say)
        shutil.rmtree(self._target)

    def _followed(self, said: list[Any]) -> list[State]:
        """The states that may be found: with the change that was under way, and without."""
        change: dict[str, Any] | None = None
        for each in said:
            if isinstance(each, dict):
                change = each
            elif each == "done" and change is not None:
                self.state, change = after(self.state, change), None
        self.under_way["open" if change is None else change["do"]] += 1
        return [self.state] if change is None else [self.state, after(self.state, change)]

    def _run(self, job: Callable[[Say], None], lives_s: float | None) -> list[Any]:
        """What a fork said, which is killed so many s after its first word; None lets it come to its end."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)

            def say(word: Any) -> None:
                os.write(writing, json.dumps(word).encode() + b"\n")

            logging.getLogger().addHandler(_Ending(say))
            try:
                job(say)
            except BaseException as error:
                say({"error": repr(error)})
                os._exit(1)
            os._exit(0)
        os.close(writing)
        text = b""
        until: float | None = None
        while True:
            if until is None and text and lives_s is not None:
                until = time.monotonic() + lives_s
            wait = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([reading], [], [], wait)[0]:
                os.kill(child, signal.SIGKILL)
                until = time.monotonic() + 60
                continue
            piece = os.read(reading, 1 << 16)
            if not piece:
                break
            text += piece
        os.close(reading)
        status = os.waitpid(child, 0)[1]
        said = [json.loads(line) for line in text.split(b"\n")[:-1]]
        if status not in (0, signal.SIGKILL):
            raise AssertionError(f"a process ended with {status}: {said[-1:]}")
        return said


def _is(found: State, state: State, *, may_go: bool) -> bool:
    """Whether a state was found, without some of the images that are too old where these may go."""
    gone = {name for name in state.keys() - found.keys() if may_go and name.startswith(OLD)}
    return found == {name: camera for name, camera in state.items() if name not in gone}


def _main(folder: Path, seed: int, kills: int, seconds: float) -> None:
    erasure.DELAY_S = 0.02  # type: ignore[misc]
    restless = Restless(folder, seed)
    until, done = time.monotonic() + seconds, 0
    while done < kills or time.monotonic() < until:
        restless.kill_once()
        done += 1
    print(json.dumps({"kills": done, "under_way": restless.under_way}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
