"""The import rule of pyproject.toml, and where tests lie."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What tests may be about beside our packages; `cases` are inputs that failed once, `end_to_end` the whole,
# `client` the distribution of that name.
OTHER_FOLDERS = ("cases", "docker", "docs", "end_to_end", "client")


def packages() -> set[str]:
    found = [*ROOT.glob("*/__init__.py"), *ROOT.glob("client/*/__init__.py")]
    return {path.parent.name for path in found}


def test_folders_import_downwards_only() -> None:
    # In a process of its own: it configures logging, which closes every handler that there is, and absl's
    # closes the file that pytest captures output in.
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Contracts: " in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout


def test_the_import_rule_covers_every_package() -> None:
    rule = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert packages() == set(rule["root_packages"])


def test_tests_lie_in_the_folder_of_what_they_test() -> None:
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    misplaced = [
        str(folder)
        for folder in sorted(folders)
        if folder.parts
        and folder.parts[0] not in OTHER_FOLDERS
        and not (ROOT / folder / "__init__.py").exists()
    ]
    assert not misplaced, f"tests/ has folders that are not in the repository: {misplaced}"
