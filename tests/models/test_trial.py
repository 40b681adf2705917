"""Trials of runtimes: on a small graph, with what is missing named."""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from models.runtimes import libraries, trial


def test_the_small_graph_is_the_convolution_that_it_is_said_to_be() -> None:
    def tensor(name: str, shape: list[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "p",
        [tensor("x", [1, 3, 8, 8]), tensor("w", [4, 3, 3, 3])],
        [tensor("y", [1, 4, 6, 6])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert onnx.load_from_string(trial.CONVOLUTION) == made


def test_the_runtime_on_this_cpu_starts() -> None:
    assert trial.why_not_onnxruntime("cpu") is None


def test_a_session_that_computes_something_else_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "EXPECTED", 26.0)
    assert str(trial.why_not_onnxruntime("cpu")) == "a convolution gives 27 in place of 26"


def offer_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])


def test_a_missing_driver_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_cuda(monkeypatch)
    monkeypatch.setattr(trial, "is_loadable", lambda name: name != libraries.DRIVER)
    why = trial.why_not_onnxruntime("cuda")
    assert why is not None
    assert "libcuda.so.1 is missing" in why.what
    assert "ubuntu-drivers install" in why.remedy


def test_missing_libraries_are_named_with_what_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_cuda(monkeypatch)
    monkeypatch.setattr(trial, "is_loadable", lambda _name: True)
    monkeypatch.setattr(trial, "missing", lambda _library: ["libcublasLt.so.13", "libcudart.so.13"])
    assert str(trial.why_not_onnxruntime("cuda")) == (
        "libcublasLt.so.13, libcudart.so.13 missing: pip install 'lka-reid[gpu]'"
    )


def test_what_a_library_says_of_a_missing_one_is_brought_to_its_name() -> None:
    error = RuntimeError(
        "Failed to load library libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open "
        "shared object file: No such file or directory"
    )
    assert str(trial._said(error, "install it")) == "libcudnn.so.9 is missing: install it"
    assert len(str(trial._said(RuntimeError("x" * 1000), ""))) == trial.MESSAGE


def test_gpus_are_named_as_the_driver_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(number: int) -> Callable[..., int]:
        def put_into(where: Any, *_: Any) -> int:
            where._obj.value = number
            return 0

        return put_into

    def name(where: Any, _length: int, device: Any) -> int:
        where.value = f"GPU {device.value}".encode()
        return 0

    found = {"cuDeviceGetCount": put(2), "cuDeviceGet": put(7), "cuDeviceGetName": name}
    driver = SimpleNamespace(cuInit=lambda _flags: 0, **found)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: driver)
    assert libraries.gpu_names() == ["GPU 7", "GPU 7"]
    driver.cuInit = lambda _flags: 100
    assert libraries.gpu_names() == []
    monkeypatch.setattr(libraries, "is_loadable", lambda _name: False)
    assert libraries.gpu_names() == []


@pytest.mark.skipif(sys.platform != "linux", reason="shared libraries are ELF files on Linux")
def test_what_a_shared_library_needs_is_read_from_it() -> None:
    library = Path(np.__file__).parent / "_core"
    [module] = library.glob("_multiarray_umath*.so")
    names = libraries.needed(module)
    assert "libc.so.6" in names
    assert libraries.is_loadable("libc.so.6")
    # Its own libraries lie beside it, where its own rules find them and the system's loader does not.
    assert set(libraries.missing(module)) <= set(names) - {"libc.so.6"}


def test_a_file_that_is_no_shared_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(struct.pack("<64x"))
    with pytest.raises(ValueError, match="is no 64-bit shared library"):
        libraries.needed(tmp_path / "x.so")
