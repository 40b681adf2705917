from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.training.conftest import write_tree
from tests.training.tiny import EMBEDDER
from training.cli import app

SECOND = """
name: tiny bundle
head: {steps: 4, vehicles: 4, views: 1, parts: [2, 2], width: 16}
lists: {mining: augmented, candidates: 3, views: 1}
training: {steps: 4, check_every: 2, batch: 4, learning_rate: 1e-3}
shape: {heads: 4, distance: attention, weighted: true, fusion: 1.0}
checkpoint: {by: last}
run: {device: cpu}
"""


def lka_reid(*words: str | Path, status: int = 0) -> str:
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == status, found.output
    return found.output


def outcome_of(*words: str | Path) -> dict[str, Any]:
    """What a command prints with --json."""
    found = CliRunner().invoke(app, [str(word) for word in (*words, "--json")])
    assert found.exit_code == 0, found.output
    return dict(json.loads(found.stdout))


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle of both stages, by the ordinary commands."""
    folder = tmp_path_factory.mktemp("start")
    tree = write_tree(folder)
    for name, text in (("first", EMBEDDER), ("second", SECOND)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    of = ("--data", tree, "--out")
    lka_reid("train", "embedder", "--config", folder / "first.yaml", *of, folder / "embedder")
    more = ("--embedder", folder / "embedder", "--config", folder / "second.yaml")
    made = outcome_of("train", "reranker", *more, *of, folder / "reranker")
    assert made["results"]
    assert made["bundle"] == str(folder / "reranker" / "bundle")
    return folder / "reranker" / "bundle"
