"""A GPU is tried in a process of its own: one on which FAISS ends its process is left out, or refused."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from index import IndexDeviceError
from index.vectors import device, gpu
from index.vectors.device import start
from index.vectors.faisslib import faiss
from tests.index.samples import Open
from tests.index.vectors.kinds import SETUPS

ABORTS = """
import os, sys
print("Faiss assertion 'err__ == cudaSuccess' failed in int faiss::gpu::getNumDevices() at a file:36; "
      "details: CUDA error 803 system has unsupported display driver", file=sys.stderr, flush=True)
os.abort()
"""
FAILS = "import sys; print('a warning', file=sys.stderr); sys.exit('CUDA error 2 out of memory')"
KILLED = "import os; os.kill(os.getpid(), 9)"
HANGS = "import time; time.sleep(60)"


def tried_by(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let FAISS have code for GPUs and the machine a driver; the process that tries a GPU runs this."""
    monkeypatch.setattr(faiss, "StandardGpuResources", SimpleNamespace, raising=False)
    monkeypatch.setattr(gpu, "DRIVER", ctypes.util.find_library("c"))
    monkeypatch.setattr(gpu, "TRIAL", code)
    monkeypatch.setattr(device, "_found", {})


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (ABORTS, "FAISS ended the process that tried it: CUDA error 803 system has unsupported"),
        (FAILS, "CUDA error 2 out of memory"),
        (KILLED, "FAISS ended the process that tried it: exit status -9"),
        (HANGS, "a first search took longer than"),
    ],
    ids=["aborts", "fails", "killed", "hangs"],
)
def test_a_trial_that_ends_badly_leaves_the_gpu_out_or_refuses_it(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    tried_by(monkeypatch, code)
    monkeypatch.setattr(gpu, "TRIAL_S", 0.1 if code == HANGS else 60.0)
    state = open_gallery(index=replace(SETUPS["flat"], device="auto")).index_state()
    assert state.device == "cpu"
    assert (state.gpu_left_out or "").startswith(reason)
    with pytest.raises(IndexDeviceError, match=rf"{reason}.*lka-reid\[gpu\].*LKA_REID_INDEX_DEVICE"):
        start("gpu")


def test_a_gpu_is_tried_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(device, "_found", {})

    def why_not(number: int) -> str:
        asked.append(number)
        return "broken"

    monkeypatch.setattr(device, "why_not", why_not)
    for number in (0, 1, 0):
        assert start("auto", number).left_out == "broken"
    assert asked == [0, 1]


def test_nothing_is_started_where_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    tried_by(monkeypatch, ABORTS)
    monkeypatch.setattr(gpu, "DRIVER", "libnone.so.1")
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    assert gpu.why_not(0) == "there is no NVIDIA driver (libnone.so.1 is missing)"


def test_a_trial_that_cannot_be_started_leaves_the_gpu_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tried_by(monkeypatch, ABORTS)

    def no_more(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "run", no_more)
    assert (
        start("auto").left_out == "no process that tries it can be started: Resource temporarily unavailable"
    )


def test_the_trial_knows_no_password_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKA_REID_REDIS_URL", "redis://:secret@host")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    named = "[name for name in os.environ if 'LKA_REID' in name or name == 'CUDA_VISIBLE_DEVICES']"
    tried_by(monkeypatch, f"import os, sys; sys.exit(repr({named}))")
    assert gpu.why_not(0) == "['CUDA_VISIBLE_DEVICES']"


def test_the_process_finds_what_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    tried_by(monkeypatch, f"import index.vectors.gpu as gpu; gpu.DRIVER = 'libnone.so.1'; {gpu.TRIAL}")
    assert "libnone.so.1: cannot open shared object file" in (gpu.why_not(0) or "")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (802, "CUDA error 802, GPUs that NVSwitch joins wait for their service: start nvidia-fabricmanager"),
        (803, "CUDA error 803, its library and its kernel module .*: restart the machine"),
        (999, "CUDA error 999"),
    ],
)
def test_the_trial_says_what_the_driver_does_before_faiss_asks_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, said: str
) -> None:
    library = SimpleNamespace(cuInit=lambda _: code, cuDeviceGetCount=pytest.fail)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(gpu, "opened", pytest.fail)
    with pytest.raises(SystemExit, match="1"):
        gpu.main(0)
    assert re.fullmatch(rf"NVIDIA's driver does not start \({said}\)\n", capsys.readouterr().err)


def test_the_trial_of_a_gpu_that_is_not_there_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def count(number: Any) -> int:
        number._obj.value = 2
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(cuInit=lambda _: 0, cuDeviceGetCount=count))
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2, raising=False)
    with pytest.raises(SystemExit, match="1"):
        gpu.main(2)
    assert capsys.readouterr().err == "FAISS finds no GPU 2, of 2\n"
