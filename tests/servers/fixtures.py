"""The address of a Milvus that all tests of a run share, whatever process they are in."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.servers import program

MISSING = "the Milvus suite is left out: {} is not there; `make servers` installs it"
START_S = 120.0


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a standalone Milvus: the first test that asks starts it, and it ends with the run."""
    python = program("python")
    if python is None or not list(python.parent.parent.glob("lib/python*/site-packages/milvus")):
        pytest.skip(MISSING.format("the package milvus"))
    if importlib.util.find_spec("pymilvus") is None:
        pytest.skip(MISSING.format("pymilvus, of the extra [milvus],"))
    own = tmp_path_factory.getbasetemp()
    is_part = "PYTEST_XDIST_WORKER" in os.environ
    shared = own.parent if is_part else own
    folder, log = shared / "milvus", shared / "milvus.log"
    with FileLock(shared / "milvus.lock"):
        if not log.exists():
            folder.mkdir()
            # Of parallel test processes any may end first: the server ends with the one that started them.
            owner = os.getppid() if is_part else os.getpid()
            code = Path(__file__).with_name("milvus_program.py")
            with log.open("wb") as said:
                subprocess.run([python, code, folder, str(owner)], check=True, stdout=said, stderr=said)
        until = time.monotonic() + START_S
        while not (folder / "url").exists():
            if time.monotonic() > until or not folder.exists():
                pytest.fail(f"Milvus did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
    return (folder / "url").read_text()
