"""Run as a program, it lives through one gallery's history again and again, killed elsewhere each time.

A point to be killed at is a line of index/ about to run, a statement about to be given to SQLite, or
a block of a snapshot half written. What a killed process leaves is its folder, so points between
which the folder did not change are one: a first life passes all of them and notes where it changes.
Then a fork of this program dies by SIGKILL at the last point of every state. A change waits for the
thread that writes the snapshot which it makes due, so that points have one order.
Standard output says `ack CASE` for each step that a life completed and `dead CASE` at its end.

    python -m tests.index.mortal HISTORY FOLDER [TEMPLATE]

Each life begins with a copy of the gallery TEMPLATE, or with nothing, as FOLDER/CASE.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from index import Filter, GalleryHeader, LocalGallery, Mode
from index.local.erasure import Erasure
from index.local.renewal import Renewal
from index.local.snapshot_writer import SnapshotWriter
from index.retention import Retention
from index.upkeep.replacement import replacement
from tests.index.samples import DIM, STRIPS, enrollment

INDEX = str(Path(__file__).parents[2] / "index")
READS_ONLY = ("slack.py", "rows.py", "checksums.py", "errors.py")
"""Modules between whose lines no file changes."""


@dataclass(frozen=True)
class History:
    """The steps of a life, and the model whose gallery it is."""

    steps: tuple[tuple[str, str], ...]
    fingerprint: str = "model-a"
    supersedes: tuple[str, ...] = ()
    normalisation: Mode | None = None

    def opened(self, folder: Path) -> LocalGallery:
        """The gallery of every life; it takes a snapshot by itself after two changes."""
        return LocalGallery.open(
            folder,
            fingerprint=self.fingerprint,
            supersedes=self.supersedes,
            descriptor_dim=DIM,
            strips_shape=STRIPS,
            snapshot_every=2,
            normalisation=self.normalisation,
        )


HISTORIES = {
    "changes": History(
        (
            ("open", ""),
            ("enroll", "c"),
            ("delete", "a"),
            ("enroll", "de"),
            ("snapshot", ""),
            ("delete", "d"),
            ("enroll", "f"),
            ("close", ""),
        )
    ),
    "renewal": History(
        (
            ("open", ""),
            ("renew", ""),
            ("calibrate", "g"),
            ("delete", "a"),
            ("renew", ""),
        ),
        normalisation="on",
    ),
    "erasure": History((("open", ""), ("delete", "a"), ("erase", ""))),
    "alterations": History((("open", ""), ("update", "a"), ("delete where", "camera-7"), ("close", ""))),
    "replacement": History((("replace", ""),), "model-b"),
    "migration": History((("open", ""), ("enroll", "g"), ("close", "")), "model-b", ("model-a",)),
}


def replace(folder: Path, header: GalleryHeader) -> None:
    """Put a gallery with the same images in the place of the one in `folder`."""
    with replacement(folder, header) as (old, new):
        held = {record.image_id for record in new.page().records}
        names = [record.image_id for record in old.page().records]
        new.enroll_many([enrollment(name) for name in names if name not in held])


def listings(history: History, before: str) -> list[list[str]]:
    """The image_ids enrolled before the first step and after each one, in order of enrollment."""
    listed = [list(before)]
    for action, names in history.steps:
        if action == "enroll":
            listed.append(listed[-1] + list(names))
        elif action == "delete":
            listed.append([name for name in listed[-1] if name not in names])
        else:
            listed.append(listed[-1])
    return listed


class Life:
    """One run through the steps; `reached` is called at every point."""

    def __init__(
        self, history: History, folder: Path, reached: Callable[[], None], done: Callable[[], None]
    ) -> None:
        self._history = history
        self._folder = folder
        self._reached = reached
        self._done = done

    def live(self) -> None:
        self._watch_sqlite()
        self._watch_files()
        self._wait_for_snapshots()
        self._leave_threads_to_the_history()
        sys.settrace(self._trace)
        threading.settrace(self._trace)
        gallery: LocalGallery
        for action, names in self._history.steps:
            if action == "open":
                gallery = self._history.opened(self._folder)
            elif action == "enroll":
                gallery.enroll_many([enrollment(name) for name in names])
            elif action == "delete" and names in [r.image_id for r in gallery.page().records]:
                gallery.delete(names)
            elif action == "calibrate":
                for name in names:
                    gallery.cameras.calibrate("camera-8", enrollment(name).descriptor, name.encode())
            elif action == "renew":
                gallery.cameras.renew_if_due()
            elif action == "snapshot":
                gallery.snapshot()
            elif action == "update":
                gallery.update(names, {"camera_id": "camera-8", "tags": ("night",)})
            elif action == "delete where":
                gallery.delete_where(Filter(camera_ids=frozenset({names})))
            elif action == "erase":
                gallery.erase()
            elif action == "replace":
                replace(self._folder, GalleryHeader(self._history.fingerprint, DIM, STRIPS))
            elif action == "close":
                gallery.close()
            self._done()
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        del argument
        file = frame.f_code.co_filename
        if not file.startswith(INDEX) or file.endswith(READS_ONLY):
            return None
        if event == "line":
            self._reached()
        return self._trace

    def _watch_sqlite(self) -> None:
        connect = sqlite3.connect

        def connect_watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda _: self._reached())
            return connection

        sqlite3.connect = connect_watched  # type: ignore[assignment]

    def _watch_files(self) -> None:
        """Write files half by half, with a point in between."""
        open_file, reached = Path.open, self._reached

        class Watched(io.FileIO):
            def write(self, content: Any) -> int:
                view = memoryview(content).cast("B") if len(content) else memoryview(b"")
                half = len(view) // 2
                written = super().write(view[:half])
                reached()
                return written + super().write(view[half:])

        def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            return Watched(path, "w") if mode == "wb" else open_file(path, mode, *arguments, **options)

        Path.open = opened  # type: ignore[assignment, method-assign]

    def _leave_threads_to_the_history(self) -> None:
        def nothing(*_: object) -> None:
            """In place of waking the thread."""

        Renewal.opened = Renewal.changed = nothing  # type: ignore[assignment, method-assign]
        Erasure.opened = Erasure.deleted = nothing  # type: ignore[assignment, method-assign]
        Retention.opened = nothing  # type: ignore[assignment, method-assign]

    def _wait_for_snapshots(self) -> None:
        """Let a change wait for the snapshot that it makes due."""

        def write_if_due(self: SnapshotWriter) -> None:
            thread = threading.Thread(target=self._write_or_log)
            thread.start()
            thread.join()

        SnapshotWriter.write_if_due = write_if_due  # type: ignore[method-assign]


def _points(history: History, folder: Path) -> list[int]:
    """The numbers of the points to die at."""
    seen = folder / "states.json"
    if _fork(lambda: _record(history, folder / "first", seen)) != 0:
        raise RuntimeError("the life that looks for the points failed")
    states = json.loads(seen.read_text())
    return [n for n in range(len(states)) if n + 1 == len(states) or states[n] != states[n + 1]]


def _record(history: History, life: Path, seen: Path) -> None:
    states: list[str] = []
    steps_done = 0

    def reached() -> None:
        states.append(f"{steps_done} {_state(life)}")

    def done() -> None:
        nonlocal steps_done
        steps_done += 1

    Life(history, life, reached, done).live()
    seen.write_text(json.dumps(states))


def _state(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    digest = hashlib.blake2b()
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size} ".encode() + file.read_bytes())
    return digest.hexdigest()


def _die_at(history: History, life: Path, fatal: int) -> None:
    passed = 0

    def reached() -> None:
        nonlocal passed
        if passed == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    Life(history, life, reached, lambda: _say(f"ack {life.name}")).live()


def _fork(live: Callable[[], None]) -> int:
    """Run it in a fork; its exit status as waitpid gives it."""
    child = os.fork()
    if child == 0:
        try:
            live()
        except BaseException as error:
            _say(f"error {error!r}")
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _main(history: History, folder: Path, template: Path | None) -> None:
    def begin(name: str) -> Path:
        if template is not None:
            shutil.copytree(template, folder / name)
        return folder / name

    begin("first")
    for fatal in _points(history, folder):
        life = begin(str(fatal))
        status = _fork(lambda life=life, fatal=fatal: _die_at(history, life, fatal))  # type: ignore[misc]
        _say(f"dead {fatal}" if status == signal.SIGKILL else f"error {fatal} ended with {status}")


if __name__ == "__main__":
    _main(HISTORIES[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
