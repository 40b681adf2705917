"""Every command that the pages name exists, with the options that they give it."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from service.cli import app
from tests.docs.pages import PAGES, ROOT, commands
from training.config.classifier import ClassifierConfig
from training.config.embedder import ExperimentConfig
from training.config.files import describe
from training.config.reranker import RerankerExperimentConfig

PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
# A word that stands for one: `RUN`, `...`, `FOLDER`.
PLACEHOLDER = re.compile(r"[A-Z_]+|\.\.\.")


@cache
def root() -> TyperGroup:
    """`lka-reid`, with the options of completion."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    return command


@cache
def member(group: TyperGroup, name: str) -> Any:
    """A command of a group, or None."""
    return group.get_command(typer.Context(root(), info_name="lka-reid"), name)


def fault_of(words: list[str]) -> str | None:
    """What is wrong with the command `lka-reid WORDS`, if anything."""
    command: Any = root()
    words = list(words)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        if PLACEHOLDER.fullmatch(words[0]):
            return None
        command = member(command, words[0])
        if command is None:
            return f"there is no {words[0]!r}"
        words.pop(0)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - known - {"--help"}
    return f"{command.name} has no {', '.join(sorted(unknown))}" if unknown else None


@pytest.mark.slow
@PAGE
def test_our_commands_exist_with_these_options(page: Path) -> None:
    named = commands(page.read_text(encoding="utf-8"), "lka-reid")
    faults = {" ".join(words): fault for words in named if (fault := fault_of(words))}
    assert not faults


@PAGE
def test_keys_that_commands_set_exist(page: Path) -> None:
    lines = commands(page.read_text(encoding="utf-8"), "lka-reid")
    named = {
        value for line in lines for option, value in pairwise(line) if option in ("--set", "--embedder-set")
    }
    assert {value.partition("=")[0] for value in named} - {"KEY"} <= keys()


@cache
def keys() -> set[str]:
    """Of every configuration."""
    kinds = (ExperimentConfig, RerankerExperimentConfig, ClassifierConfig)
    return {key for kind in kinds for key, *_ in describe(kind)}


@pytest.mark.parametrize("wrong", [["nothing"], ["query", "--nothing"], ["gallery", "nothing"]])
def test_a_command_or_option_that_is_not_there_is_found(wrong: list[str]) -> None:
    assert fault_of(wrong)


@PAGE
def test_benchmarks_exist_with_these_options(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8"), "python -m"):
        module = ROOT.joinpath(*words[0].split(".")).with_suffix(".py")
        options = set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', module.read_text(encoding="utf-8")))
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, words


@PAGE
def test_make_has_these_targets(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {words[0] for words in commands(page.read_text(encoding="utf-8"), "make") if words}
    assert named <= targets
