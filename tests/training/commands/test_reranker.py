"""`lka-reid train reranker`: from two files and a few images to a report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.terminal import widen
from tests.training.tiny import EMBEDDER
from training.cli import app

RERANKER = """
name: tiny re-ranker
lists: {candidates: 3}
training: {steps: 8, check_every: 4, batch: 4, learning_rate: 1e-3}
shape: {heads: 4}
checkpoint: {by: folds}
run: {device: cpu}
bundle: {export: false}
"""


@pytest.fixture
def words(tree: Path, tmp_path: Path) -> list[str]:
    for name, text in (("embedder", EMBEDDER), ("reranker", RERANKER)):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    out = str(tmp_path / "run")
    return [
        "train",
        "reranker",
        "--config",
        str(tmp_path / "reranker.yaml"),
        "--data",
        str(tree),
        "--out",
        out,
    ]


def first(tmp_path: Path) -> list[str]:
    return ["--embedder-config", str(tmp_path / "embedder.yaml")]


@pytest.mark.slow
def test_a_training_prints_a_line_a_check_and_both_stages(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    found = CliRunner().invoke(app, [*words, *first(tmp_path)])
    assert found.exit_code == 0, found.output
    lines = [line for line in found.output.splitlines() if line.startswith("step ")]
    *choosing, first_check, last_check = lines
    assert len(choosing) == 4, "two checks without each of the two folds"
    pattern = r"step 4/8  loss [\d.]+{}  lr [\d.e-]+  \d+ lists/s  [\d.]+ GiB(  left 0:00:\d\d)?$"
    assert re.match(pattern.format(r"  validation [\d.]+"), choosing[0])
    assert re.match(pattern.format(""), first_check)
    assert last_check.startswith("step 8/8")
    for said in ("tiny, fold 2 of 2", "re-ranker without fold 1", "first stage", "both stages", "won"):
        assert said in found.output
    assert (tmp_path / "run" / "report" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "trainning.beta=1"], "did you mean training?"),
        (["--embedder-set", "network.strip=4"], "did you mean network.strips?"),
        (["--embedder", "runs/there"], "either by --embedder-config or by --embedder"),
        (["--embedder-set", "network.strips=0"], "this embedder gives none"),
    ],
)
def test_what_cannot_be_ends_with_one_line_and_makes_nothing(
    words: list[str], tmp_path: Path, more: list[str], message: str
) -> None:
    found = CliRunner().invoke(app, [*words, *first(tmp_path), *more])
    assert found.exit_code == 2
    assert message in " ".join(found.output.split())
    assert "Traceback" not in found.output
    assert not (tmp_path / "run").exists()


def test_a_first_stage_must_be_given_and_a_finished_one_stays_as_it_is(
    words: list[str], tmp_path: Path
) -> None:
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 2
    assert "give the first stage" in found.output
    found = CliRunner().invoke(app, [*words, "--embedder", str(tmp_path), "--embedder-set", "seed=1"])
    assert found.exit_code == 2
    assert "a finished run stays as it is" in found.output


def test_all_keys_are_listed() -> None:
    found = CliRunner().invoke(app, ["train", "keys", "reranker"], env={"COLUMNS": "160"})
    assert found.exit_code == 0
    for key in ("lists.mining", "training.beta", "checkpoint.by", "shape.fusion", "bundle.precision"):
        assert key in found.output
    assert "optimiser.learning_rate" not in found.output
