"""Pieces of work shared by processes: each is made by one, and none is lost with the process that made it."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from training.signals import StoppedError, StopRequest
from training.studies import locks
from training.studies.locks import locked, share

PIECES = [f"piece{number}" for number in range(6)]
SPAWN = multiprocessing.get_context("spawn")


def _work(folder: Path, name: str, seconds: float) -> None:
    """Make the pieces that are not there, noting who made each."""

    def make(piece: str) -> None:
        path = folder / f"{piece}.txt"
        if path.exists():
            return
        time.sleep(seconds)
        with (folder / "made.log").open("a") as log:
            log.write(f"{piece} {name}\n")
        path.write_text(name)

    share(PIECES, lambda piece: folder / f"{piece}.lock", make, lambda _: None, StopRequest())


def _hold(path: Path, seconds: float) -> None:
    with locked(path) as own:
        if own:
            (path.parent / "held").touch()
        time.sleep(seconds)


def _held(path: Path) -> Any:
    """Another process that holds the lock."""
    process = SPAWN.Process(target=_hold, args=(path, 60.0))
    process.start()
    while not (path.parent / "held").exists():
        assert process.is_alive()
        time.sleep(0.01)
    return process


@pytest.mark.slow
def test_every_piece_is_made_once_and_all_are_there_when_any_process_is_done(tmp_path: Path) -> None:
    others = [SPAWN.Process(target=_work, args=(tmp_path, name, 0.2)) for name in "ab"]
    for process in others:
        process.start()
    _work(tmp_path, "c", 0.2)
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == [f"{piece}.txt" for piece in PIECES]
    for process in others:
        process.join()
        assert process.exitcode == 0
    made = [line.split()[0] for line in (tmp_path / "made.log").read_text().splitlines()]
    assert sorted(made) == PIECES
    assert not list(tmp_path.glob("*.lock"))


def test_a_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    path = tmp_path / "piece.lock"
    process = _held(path)
    with locked(path) as own:
        assert not own
    process.kill()
    process.join()
    with locked(path) as own:
        assert own


def test_a_lock_stays_for_the_next_one_when_its_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "piece.lock"
    with pytest.raises(RuntimeError, match="half way"), locked(path):
        raise RuntimeError("half way")
    with locked(path) as own:
        assert own


def test_waiting_for_another_process_ends_when_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.01)
    process = _held(tmp_path / "piece.lock")
    stop = StopRequest()
    stop.made = True
    shown: list[str] = []
    with pytest.raises(StoppedError, match="still making piece"):
        share(["piece"], lambda _: tmp_path / "piece.lock", lambda _: None, shown.append, stop)
    assert shown == ["waiting for what other processes make: piece"]
    process.kill()
    process.join()
