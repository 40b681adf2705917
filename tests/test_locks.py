"""The locks for serving hold what pyproject.toml asks for, at the constraints' versions, with hashes."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = {"cpu": ["cpu"], "cpu-openvino": ["cpu", "openvino"], "cpu-milvus": ["cpu", "milvus"], "gpu": ["gpu"]}
ENTRY = re.compile(
    r"(?P<requirement>[\w.-]+==[^\s;\\]+(?: ; [^\\]+?)?) \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
)

Pins = dict[NormalizedName, Requirement]

TORCH = "2.13.0"
TORCH_FOR_CUDA = """
cuda-bindings<14,>=13.0.3
cuda-toolkit==13.0.3.*
nvidia-cublas==13.1.1.3.*
nvidia-cuda-cupti==13.0.85.*
nvidia-cuda-nvrtc==13.0.88.*
nvidia-cuda-runtime==13.0.96.*
nvidia-cudnn-cu13==9.20.0.48
nvidia-cufft==12.0.0.61.*
nvidia-cufile==1.15.1.6.*
nvidia-curand==10.4.0.35.*
nvidia-cusolver==12.0.4.66.*
nvidia-cusparse==12.6.3.3.*
nvidia-cusparselt-cu13==0.8.1
nvidia-nccl-cu13==2.29.7
nvidia-nvjitlink<14,>=13.0.88
nvidia-nvshmem-cu13==3.4.5
nvidia-nvtx==13.0.85.*
triton==3.7.1
"""
"""What torch asks for on Linux: Requires-Dist of its file on PyPI for x86_64, and of cuda-toolkit 13.0.3."""
ONNXRUNTIME_GPU = "1.31.1"
ONNXRUNTIME_FOR_CUDA = """
nvidia-cuda-nvrtc~=13.0
nvidia-cuda-runtime~=13.0
nvidia-cudnn-cu13~=9.0
nvidia-cufft~=12.0
nvidia-curand~=10.0
"""
"""The same of onnxruntime-gpu[cuda,cudnn]."""


def pins(name: str) -> Pins:
    """The requirements of a lock by name; the lock is nothing but these and their hashes."""
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    assert ENTRY.sub("", text) == "", "a lock has an address, an option, or a package without hashes"
    found = [Requirement(entry["requirement"]) for entry in ENTRY.finditer(text)]
    return {canonicalize_name(each.name): each for each in found}


def version(pin: Requirement) -> str:
    [specifier] = pin.specifier
    return specifier.version


def check(wanted: Requirement, locked: Pins, by: str) -> None:
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return
    name = canonicalize_name(wanted.name)
    assert name in locked, f"{by} needs {wanted}, which is not in the lock: make locks"
    assert wanted.specifier.contains(version(locked[name]), prereleases=True), f"{by} needs {wanted}"


def project() -> dict[str, list[str]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": table["dependencies"], **table["optional-dependencies"]}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_all_that_serving_needs_and_nothing_for_training(name: str) -> None:
    locked, asked = pins(name), project()
    for extra in ("", *LOCKS[name]):
        for text in asked[extra]:
            check(Requirement(text), locked, "pyproject.toml")
    assert not {"torch", "onnx", "pytest"} & set(locked)
    for package in locked:
        try:
            needed = requires(package) or []
        except PackageNotFoundError:  # of another platform, or for a GPU
            continue
        for text in needed:
            check(Requirement(text), locked, package)


def pinned() -> Pins:
    """The constraints by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    given = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(each.name): each for each in given}


@pytest.mark.parametrize("name", ["build", *LOCKS])
def test_a_lock_has_the_versions_of_the_constraints(name: str) -> None:
    constraints = {package: version(pin) for package, pin in pinned().items()}
    for package, pin in pins(name).items():
        # What another platform or an older Python alone needs is not in the constraints.
        if package in constraints or pin.marker is None:
            assert constraints[package] == version(pin), package


def test_one_set_of_nvidias_libraries_serves_onnxruntime_and_torch() -> None:
    constraints, locked = pinned(), pins("gpu")
    known = {"torch": TORCH, "onnxruntime-gpu": ONNXRUNTIME_GPU}
    for package, number in known.items():
        found = version(constraints[canonicalize_name(package)])
        assert found == number, f"{package} {found}: write down here what it asks for"
    for text in (*TORCH_FOR_CUDA.split(), *ONNXRUNTIME_FOR_CUDA.split()):
        check(Requirement(text), constraints, "constraints.txt with torch or ONNX Runtime for CUDA")
    shared = [Requirement(text) for text in TORCH_FOR_CUDA.split()]
    shared = [each for each in shared if canonicalize_name(each.name) in locked]
    assert len(shared) == 7
    for wanted in shared:
        check(wanted, locked, "torch")


def test_the_extras_for_gpus_and_training_allow_no_torch_for_another_cuda() -> None:
    """Without constraints, too: by what [gpu] says alone."""
    gpu = {canonicalize_name(each.name): each for each in map(Requirement, project()["gpu"])}
    for text in TORCH_FOR_CUDA.split():
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        if name in pins("gpu"):
            assert name in gpu, f"[gpu] leaves {name} to whatever torch comes"
            assert gpu[name].specifier.contains(version(pinned()[name])), gpu[name]
    [torch] = [each for each in map(Requirement, project()["train"]) if each.name == "torch"]
    assert torch.specifier.contains(TORCH)
    assert not torch.specifier.contains("2.12.1"), "one that goes with a CUDA 12 of its own beside [gpu]'s"


def test_building_is_locked_too() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    for text in table["requires"]:
        check(Requirement(text), pins("build"), "pyproject.toml")


def test_the_makefile_and_the_image_install_by_the_locks() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--require-hashes --requirement locks/build.txt --requirement locks/cpu.txt" in makefile
    image = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    for lock in ('"locks/${LOCK}.txt"', "locks/gpu.txt", "locks/build.txt"):
        assert f"install --no-cache-dir --require-hashes -r {lock}" in image, lock
    assert "\nARG LOCK=cpu-openvino\n" in image
    for install in re.findall(r"pip(?: --python \S+)? install .+", image):
        assert "--require-hashes" in install or "--no-deps --no-index" in install, install
