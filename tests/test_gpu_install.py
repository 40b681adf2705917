"""The check of the GPU packages says clearly why it fails; installing them is `make check-gpu-install`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from importlib import metadata
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
        return subprocess.CompletedProcess(command, returncode if "--require-hashes" in ran[-1] else 0, "")

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
    monkeypatch.setattr(check, "resolve", lambda *_: None)
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


TORCH_OF_CUDA_13 = """\
cuda-toolkit==13.0.3.0
nvidia-cublas==13.1.1.3
nvidia-cublas-cu12==12.9.3.13
nvidia-cudnn-cu13==9.20.0.48
torch==2.13.0
"""
TORCH_OF_CUDA_12 = """\
nvidia-cublas==13.1.0.3
nvidia-cudnn-cu12==9.10.2.21
nvidia-cudnn-cu13==9.28.1.4
torch==2.10.0
"""
ANOTHER_CUDNN = TORCH_OF_CUDA_13.replace("9.20.0.48", "9.24.0.43")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (TORCH_OF_CUDA_12, "without constraints: torch 2.10.0, and not 2.13"),
        (TORCH_OF_CUDA_12.replace("2.10", "2.13"), "without constraints: CUDA None for torch, and not 13.0"),
        (TORCH_OF_CUDA_13 + "nvidia-cudnn-cu12==9.10\n", "without constraints: a cuDNN for CUDA 12"),
        (ANOTHER_CUDNN, "with them: other versions than locks/gpu.txt of nvidia-cudnn-cu13"),
        (None, "there is no such set of packages"),
    ],
)
def test_gpu_and_train_have_to_come_to_one_cuda(
    check: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    answer: str | None,
    found: str,
) -> None:
    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        status = 1 if answer is None and "compile" in command else 0
        return subprocess.CompletedProcess(command, status, answer or "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit):
        check.resolve(tmp_path, time.monotonic())
    assert found in capsys.readouterr().err


def test_one_set_of_packages_for_gpu_and_train_is_named(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0, TORCH_OF_CUDA_13)

    monkeypatch.setattr(subprocess, "run", run)
    check.resolve(tmp_path, time.monotonic())
    assert "torch 2.13.0 for CUDA 13.0, cuDNN 9.20.0.48" in capsys.readouterr().out
    resolved = [command for command in ran if "compile" in command]
    assert len(resolved) == 2 * len(check.PYTHONS)
    assert sum("--constraints" in command for command in resolved) == len(check.PYTHONS)


def test_a_start_that_hangs_ends_the_check(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits: list[float] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if "--inside" in command:
            limits.append(options["timeout"])
            raise subprocess.TimeoutExpired(command, options["timeout"])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(check, "resolve", lambda *_: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**12, 0, 10**12))
    with pytest.raises(SystemExit):
        check.main()
    assert limits == [check.LOOK_LIMIT_S]
    assert "with onnxruntime first, the start had not ended after 120 s" in capsys.readouterr().err


def test_each_library_of_cudnn_has_to_load(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = ["libcudnn.so.9", "libcudnn_graph.so.9", "cudnn.h"]

    def files(_name: str) -> list[metadata.PackagePath]:
        found = [metadata.PackagePath(f"nvidia/{name}") for name in names]
        for each in found:
            each.dist = metadata.PathDistribution(tmp_path / "cudnn.dist-info")
        return found

    def load(path: str) -> None:
        loaded.append(path)
        if "graph" in path and not whole:
            raise OSError("libcublasLt.so.13: cannot open shared object file")

    loaded: list[str] = []
    whole = True
    monkeypatch.setattr(check.metadata, "files", files)
    monkeypatch.setattr(check.ctypes, "CDLL", load)
    assert check.load_cudnn() == 2
    assert loaded == [str(tmp_path / "nvidia" / name) for name in names[:2]]
    whole = False
    with pytest.raises(SystemExit):
        check.load_cudnn()
    assert "libcudnn_graph.so.9 does not load: libcublasLt.so.13: cannot" in capsys.readouterr().err
    names.remove("libcudnn.so.9")
    with pytest.raises(SystemExit):
        check.load_cudnn()
    assert "libcudnn.so.9 is missing" in capsys.readouterr().err
