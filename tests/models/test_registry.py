from __future__ import annotations

import sys
from pathlib import Path

import pytest

from models.registry import Registry


def test_a_name_is_taken_once() -> None:
    registry: Registry[int] = Registry("thing")
    registry.register("a", 1)
    with pytest.raises(ValueError, match="there is a thing 'a' already"):
        registry.register("a", 2)
    assert registry.named("a") == 1


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    registry: Registry[int] = Registry("thing")
    registry.register("a", 1)
    registry.register("b", 2)
    with pytest.raises(ValueError, match="unknown thing 'c'; there are a, b"):
        registry.named("c")


def test_every_file_of_a_folder_registers_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "things_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from models.registry import Registry\n"
        'THINGS = Registry("thing")\n'
        "THINGS.import_folder(__name__, __path__)\n"
    )
    for name in ("first", "second"):
        text = f'from things_of_a_test import THINGS\nTHINGS.register("{name}", "{name}")\n'
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import things_of_a_test  # type: ignore[import-not-found]

    assert things_of_a_test.THINGS == {"first": "first", "second": "second"}
    for name in [name for name in sys.modules if name.startswith("things_of_a_test")]:
        monkeypatch.delitem(sys.modules, name)
