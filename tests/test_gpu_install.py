"""The check of the GPU packages says clearly why it fails; installing them is `make check-gpu-install`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_install", ROOT / ".ci" / "gpu_install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["gpu_install.py"])
    return module


def answering(returncode: int, ran: list[list[str]]) -> Any:
    def run(command: list[Any], **_options: Any) -> subprocess.CompletedProcess[str]:
        ran.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, returncode if "install" in ran[-1] else 0)

    return run


def test_ci_runs_it_after_the_tests() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines.index("make test") < lines.index("make check-gpu-install")


def test_a_disk_that_is_too_small_is_named_before_anything_is_fetched(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", answering(0, ran))
    usage = shutil.disk_usage(".")._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(SystemExit) as end:
        check.main()
    assert end.value.code == 1
    assert "has 1.0 GB free, and 9 are needed" in capsys.readouterr().err
    assert ran == []


def test_packages_that_cannot_be_had_are_said_to_be_what_fails(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", answering(1, ran))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**12, 0, 10**12))
    with pytest.raises(SystemExit) as end:
        check.main()
    assert end.value.code == 1
    assert "cannot be had from the index that pip uses" in capsys.readouterr().err
    assert "--require-hashes" in ran[-1]
    assert ran[-1][-1].endswith("locks/gpu.txt")


def test_a_library_that_is_missing_fails_it_by_name(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.runtimes import libraries

    monkeypatch.setattr(check, "faiss_runs", lambda: None)
    monkeypatch.setattr(libraries, "is_loadable", lambda name: name != libraries.DRIVER)
    monkeypatch.setattr(libraries, "missing", lambda _library: ["libcublas.so.13", libraries.DRIVER])
    with pytest.raises(SystemExit):
        check.look("faiss first")
    assert "lacks libcublas.so.13, libcuda.so.1" in capsys.readouterr().err
