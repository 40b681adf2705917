"""`lka-reid add-f16` where serving and onnx are installed, and nothing else for training."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from models.bundle import EMBEDDER_F16, Bundle
from tests.models.explainable import SmallBundle
from training.commands.f16 import INSTALL

pytestmark = pytest.mark.slow  # a bundle is exported, and processes start

ROOT = Path(__file__).parents[3]
OF_TRAINING = ("torch", "safetensors", "onnxscript", "onnx_ir", "matplotlib", "yaml", "tensorboard")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("f16") / "bundle", "int8", rerank=False)


def add_f16(bundle: Bundle, out: Path, *blocked: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that cannot import some packages."""
    lines = (
        "import sys",
        f"sys.modules.update(dict.fromkeys({blocked}))",
        "from service.cli import main",
        f"sys.argv[1:] = {['add-f16', '--bundle', str(bundle.path), '--out', str(out), '--json']}",
        "main()",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_needs_no_torch(bundle: Bundle, tmp_path: Path) -> None:
    done = add_f16(bundle, tmp_path / "made", *OF_TRAINING)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fingerprint"] == bundle.fingerprint
    assert EMBEDDER_F16 in Bundle.load(tmp_path / "made").manifest.files


def test_without_onnx_it_names_its_own_extra(bundle: Bundle, tmp_path: Path) -> None:
    done = add_f16(bundle, tmp_path / "made", *OF_TRAINING, "onnx")
    assert done.returncode == 2
    error = json.loads(done.stderr)["error"]
    assert (error["kind"], error["remedy"]) == ("package-missing", INSTALL)
    assert "needs onnx" in error["detail"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "lka-reid[f16]" in INSTALL
    assert extras["optional-dependencies"]["f16"] == ["onnx"]


def test_what_is_wrong_is_one_line(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = add_f16(bundle, tmp_path / "file" / "made", *OF_TRAINING)
    assert done.returncode == 2
    assert json.loads(done.stderr)["error"]["kind"] == "output"
