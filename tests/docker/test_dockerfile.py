"""The image: built from pinned bases, without root, torch, or anything that is not served."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.files import DOCKERFILE, ROOT

TEXT = DOCKERFILE.read_text(encoding="utf-8")
FROM = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", TEXT, re.MULTILINE)


def test_bases_have_a_version_and_need_no_other_registry() -> None:
    stages = {name for _, name in FROM}
    for base, _ in FROM:
        if base not in stages:
            assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+[\w.-]+", base), base
    assert not TEXT.startswith("# syntax=")


def test_the_images_run_as_nobody_in_particular_and_start_without_a_shell() -> None:
    for name in ("cpu", "gpu"):
        _, _, stage = TEXT.partition(f" AS {name}\n")
        stage = stage.split("\nFROM ")[0]
        assert "USER 10001:10001" in stage
        assert 'ENTRYPOINT ["lka-reid"]' in stage
        assert "pip" not in stage, "packages are installed in another stage"


def test_the_context_holds_what_is_copied_and_little_else() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source.split("/")[0] if not source.startswith("docker/") else source
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE)
        for source in sources.split()
    }
    assert kept == copied
    assert not kept & {"training", "tests", "benchmarks", ".git", ".env"}


def test_hadolint_has_nothing_against_it() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    command = str(hadolint) if hadolint.exists() else shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not installed: the Dockerfile's lint was left out")
    done = subprocess.run([command, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
