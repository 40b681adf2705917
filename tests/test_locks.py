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


@pytest.mark.parametrize("name", ["build", *LOCKS])
def test_a_lock_has_the_versions_of_the_constraints(name: str) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    given = [Requirement(line) for line in lines if line and not line.startswith("#")]
    constraints = {canonicalize_name(each.name): version(each) for each in given}
    for package, pin in pins(name).items():
        # What another platform or an older Python alone needs is not in the constraints.
        if package in constraints or pin.marker is None:
            assert constraints[package] == version(pin), package


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
