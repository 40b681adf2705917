"""`lka-reid` where ONNX Runtime or FAISS cannot be imported: in processes of their own, which never did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.command_line import ROOT, free_port
from tests.service.fakes import write_bundle
from tests.service.redis_server import redis_server

pytestmark = pytest.mark.slow

WAYS = {
    "absence": "raise ModuleNotFoundError(\"No module named '{0}'\", name='{0}')",
    "ImportError": "raise ImportError('libcublas.so.12: cannot open shared object file')",
    "OSError": "raise OSError('libcudart.so.13: cannot open shared object file')",
}
SAID = {
    "absence": "{0} is not installed",
    "ImportError": "{0} cannot be imported: libcublas.so.12: cannot open shared object file",
    "OSError": "{0} cannot be imported: libcudart.so.13: cannot open shared object file",
}
REMEDY = "install the service with pip install 'lka-reid[cpu]', or 'lka-reid[gpu]' for CUDA"
every_way = pytest.mark.parametrize("way", list(WAYS))
either = pytest.mark.parametrize("package", ["faiss", "onnxruntime"])


def run(folder: Path, package: str, way: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that cannot import the package."""
    (folder / f"{package}.py").write_text(WAYS[way].format(package), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *words],
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "LKA_REID_RATE_PER_S": "0"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@every_way
@either
def test_the_doctor_says_which_and_goes_on(tmp_path: Path, package: str, way: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    done = run(tmp_path, package, way, "doctor", "--bundle", str(bundle), "--runtime", "cpu", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    found = {line["what"]: line for line in json.loads(done.stdout)["findings"]}
    lines = {
        "faiss": ("FAISS", "gallery"),
        "onnxruntime": ("ONNX Runtime", "runtime cpu", "forward pass (cpu)", "detector"),
    }
    for what, names in lines.items():
        for name in names:
            is_lacking = found[name]["found"] == SAID[way].format(package)
            assert is_lacking == (what == package), found[name]
            if is_lacking:
                assert found[name]["state"] == "wrong"
                assert found[name]["remedy"].endswith(REMEDY)
    # Not needed for this runtime.
    for name in ("CUDA", "cuDNN", "runtime cuda"):
        assert found[name]["state"] == "left out", found[name]
    assert {"python", "bundle", "Redis", "disk"} <= set(found)


@every_way
@either
def test_the_service_ends_with_one_line(tmp_path: Path, package: str, way: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    done = run(tmp_path, package, way, "serve", "--bundle", str(bundle), "--port", str(free_port()))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {SAID[way].format(package)}; ")
    assert last.endswith(REMEDY)


@every_way
def test_a_worker_ends_with_one_line(tmp_path: Path, way: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with redis_server(tmp_path, None) as redis:
        words = ("worker", "--bundle", str(bundle), "--redis-url", redis.url, "--metrics-port")
        done = run(tmp_path, "onnxruntime", way, *words, str(free_port()))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"Error: {SAID[way].format('onnxruntime')}; ")


@every_way
def test_other_commands_do_too(tmp_path: Path, way: str) -> None:
    done = run(tmp_path, "faiss", way, "gallery", "stats")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "faiss" in line
    assert line.endswith(REMEDY)
