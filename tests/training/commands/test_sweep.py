"""`lka-reid sweep` writes one table of all its settings, and refuses settings that cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training.commands.test_train import TINY
from training.cli import app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


def run(config: Path, tree: Path, out: Path, *words: str) -> Result:
    start = ["sweep", "--config", str(config), "--data", str(tree), "--out", str(out)]
    return CliRunner().invoke(app, [*start, *words], env={"COLUMNS": "200"})


@pytest.mark.slow
def test_every_setting_stands_in_the_table_and_a_second_call_trains_nothing(
    config: Path, tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words: tuple[str, ...] = (
        "--setting",
        "losses.triplet=0;losses.margin=null",
        "--setting",
        "losses.triplet=1",
    )
    words += ("--seeds", "2", "--only", "seen", "--set", "schedule.epochs=2")
    found = run(config, tree, out, *words)
    assert found.exit_code == 0, found.output
    outcomes = json.loads((out / "sweep.json").read_text(encoding="utf-8"))["outcomes"]
    assert [(each["setting"], each["seed"], each["queries"]) for each in outcomes] == [
        ("losses.triplet=0;losses.margin=null", 0, 8),
        ("losses.triplet=1", 0, 8),
        ("losses.triplet=0;losses.margin=null", 1, 8),
        ("losses.triplet=1", 1, 8),
    ]
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "| 1 | losses.triplet=0;losses.margin=null |" in text
    assert "| condition | 1 | 2 |" in text
    assert "R1 less that of setting 1 with the same seed" in text
    assert "8 vehicles learned from, 4 others measured; 8 queries a seed" in text

    again = run(config, tree, out, *words, "--json")
    assert again.exit_code == 0, again.output
    assert "epoch 1/2" not in again.output
    assert json.loads(again.stdout)["outcomes"] == outcomes


@pytest.mark.slow
def test_a_fold_of_the_vehicles_to_learn_from_is_measured_beside_further_data(
    config: Path, tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words: tuple[str, ...] = ("--setting", "losses.triplet=1", "--seeds", "1", "--only", "seen")
    words += ("--set", "schedule.epochs=1", "--set", "schedule.warm_up=0", "--folds", "4")
    found = run(config, tree, out, *words, "--further", str(tree))
    assert found.exit_code == 0, found.output
    text = (out / "table.md").read_text(encoding="utf-8")
    said = "18 vehicles learned from, 2 others measured (one of 4 folds of those to learn from); 4 queries"
    assert said in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--setting", "losses.triplett=1"), "losses.triplet"),
        (("--setting", "seed=3"), "give --seeds"),
        (("--setting", "data.validation_vehicles=5"), "give --seeds, or --set"),
        (("--setting", "losses.triplet=1", "--only", "seen,synthetic"), "--only synthetic"),
        (("--setting", "losses.triplet=1", "--folds", "1"), "leaves nothing to learn from"),
    ],
)
def test_settings_that_cannot_be_compared_are_refused_before_anything_is_trained(
    config: Path, tree: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "out"
    found = run(config, tree, out, *words)
    assert found.exit_code == 2
    assert said in found.output
    assert not out.exists()
