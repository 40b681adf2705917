"""Packages that cannot be imported: which it is, and what brings it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from models.packages import BROKEN, MISSING, SERVING, TRAINING, Unusable, unusable
from models.runtimes import trial


def importing(name: str) -> Unusable | None:
    try:
        importlib.import_module(name)
    except (ImportError, OSError) as error:
        return unusable(error)
    raise AssertionError(f"{name} was imported")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_is_missing_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, remedy in {"faiss": SERVING, "torch": TRAINING, "no_such": TRAINING}.items():
        monkeypatch.setitem(sys.modules, name, None)
        assert importing(name) == Unusable(name, f"{name} is not installed", remedy, MISSING)


@pytest.mark.parametrize("kind", ["ImportError", "OSError"])
def test_a_library_that_a_package_lacks_is_the_package_s(packages: Path, kind: str) -> None:
    """Also where it is opened by a function of another module while the package is imported."""
    (packages / "opener_of_libraries.py").write_text(f"def load():\n    raise {kind}('libcublas.so.12: no')")
    (packages / "a_broken_one.py").write_text("import opener_of_libraries\nopener_of_libraries.load()")
    found = importing("a_broken_one")
    assert found is not None
    assert (found.package, found.kind) == ("a_broken_one", BROKEN)
    assert found.what == "a_broken_one cannot be imported: libcublas.so.12: no"
    assert "new environment" in found.remedy


def test_what_a_package_needs_itself_comes_by_the_extra_that_brings_the_package(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "s3fs", raising=False)
    (packages / "s3fs.py").write_text("import needed_by_s3fs")
    found = importing("s3fs")
    assert found is not None
    assert (found.package, found.remedy) == ("needed_by_s3fs", "pip install 'lka-reid[milvus]'")


@pytest.mark.parametrize(
    "error",
    [
        ImportError("cannot import name", name="service.cli"),
        ModuleNotFoundError("No module named", name="models.gone"),
        OSError(28, "No space left on device"),
        FileNotFoundError(2, "No such file", "gone"),
        ValueError("x"),
    ],
)
def test_what_no_package_is_to_blame_for_is_not_blamed_on_one(error: Exception) -> None:
    assert unusable(error) is None


@pytest.mark.parametrize("raised", [ImportError, OSError, ModuleNotFoundError])
@pytest.mark.parametrize(
    ("package", "try_it"),
    [
        ("onnxruntime", lambda: trial.why_not_onnxruntime("cpu")),
        ("torch", trial.why_not_torch),
    ],
)
def test_a_runtime_whose_package_cannot_be_imported_says_why(
    packages: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    try_it: object,
    raised: type[Exception],
) -> None:
    monkeypatch.delitem(sys.modules, package, raising=False)
    name = ", name='no_such'" if raised is ModuleNotFoundError else ""
    (packages / f"{package}.py").write_text(f"raise {raised.__name__}('libcudart.so.13: no'{name})")
    assert callable(try_it)
    lack = try_it()
    assert isinstance(lack, trial.Lack)
    assert (package if not name else "no_such") in lack.what
    assert "pip install" in lack.remedy
