"""A Milvus that all tests of a run share, whatever process they are in, and one for a test that kills it."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from tests.servers import program

MISSING = "the Milvus suite is left out: {} is not there; `make servers` installs it"
START_S = 120.0
CODE = Path(__file__).with_name("milvus_program.py")


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a standalone Milvus: the first test that asks starts it, and it ends with the run."""
    python = _python()
    own = tmp_path_factory.getbasetemp()
    is_part = "PYTEST_XDIST_WORKER" in os.environ
    shared = own.parent if is_part else own
    folder, log = shared / "milvus", shared / "milvus.log"
    with FileLock(shared / "milvus.lock"):
        if not log.exists():
            folder.mkdir()
            # Of parallel test processes any may end first: the server ends with the one that started them.
            owner = os.getppid() if is_part else os.getpid()
            with log.open("wb") as said:
                subprocess.run([python, CODE, folder, str(owner)], check=True, stdout=said, stderr=said)
        return _started(folder, log)


class MilvusServer:
    """A standalone Milvus of one's own: to be killed, and started again on the same data and ports.

    Args:
        folder: where it runs; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self._python = _python()
        self._folder, self._log = folder, folder.with_name(f"{folder.name}.log")
        folder.mkdir()

    def start(self) -> str:
        """Start it; its address, when it answers."""
        with self._log.open("ab") as said:
            owner = str(os.getpid())
            subprocess.run(
                [self._python, CODE, self._folder, owner, "kept"], check=True, stdout=said, stderr=said
            )
        return _started(self._folder, self._log)

    def kill(self) -> None:
        """End it at once; what it was doing it does not finish."""
        pid = self._folder / "pid"
        if pid.exists():
            with suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)
            until = time.monotonic() + START_S
            while pid.exists():
                assert time.monotonic() < until, "what has started Milvus does not see that it is gone"
                time.sleep(0.02)


@pytest.fixture
def own_milvus(tmp_path: Path) -> Iterator[MilvusServer]:
    """A Milvus that no other test uses, not started yet."""
    server = MilvusServer(tmp_path / "own-milvus")
    yield server
    server.kill()


def _python() -> Path:
    """Of the environment with the package `milvus`; skips the test where there is none."""
    python = program("python")
    if python is None or not list(python.parent.parent.glob("lib/python*/site-packages/milvus")):
        pytest.skip(MISSING.format("the package milvus"))
    if importlib.util.find_spec("pymilvus") is None:
        pytest.skip(MISSING.format("pymilvus, of the extra [milvus],"))
    return python


def _started(folder: Path, log: Path) -> str:
    """The address of a Milvus that was started in a folder, when it answers."""
    until = time.monotonic() + START_S
    while not (folder / "url").exists():
        if time.monotonic() > until or not folder.exists():
            pytest.fail(f"Milvus did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    return (folder / "url").read_text()
