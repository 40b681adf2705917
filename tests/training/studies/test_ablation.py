from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.shape import NetworkConfig
from tests.training.small import Diary, experiment
from training.checkpoints.resume import ResumeError
from training.datasets.layouts import open_dataset
from training.signals import StoppedError
from training.studies.ablation import Ablation, markdown, summary
from training.studies.table2 import ROWS

CONFIG = experiment(schedule={"epochs": 2, "freeze": 0}, batch={"vehicles": 3})


def ablation(tree: Path, folder: Path, reporter: Diary, config: Any = CONFIG, **options: Any) -> Ablation:
    folder.mkdir(exist_ok=True)
    options = {"folds": 2, "measured": 1, "stop": reporter.stop, **options}
    return Ablation(config, tree, open_dataset(tree), None, folder, reporter, **options)


@pytest.mark.slow
def test_cells_are_made_once_and_an_interrupted_one_goes_on(tree: Path, tmp_path: Path) -> None:
    straight = ablation(tree, tmp_path / "a", Diary()).run(["baseline", "both"], [0])
    stopping = Diary(stop_after=3)
    with pytest.raises(StoppedError):
        ablation(tree, tmp_path / "b", stopping).run(["baseline", "both"], [0])
    rest = Diary()
    found = ablation(tree, tmp_path / "b", rest).run(["baseline", "both"], [0])
    assert [cell["figures"] for cell in found] == [cell["figures"] for cell in straight]
    again = Diary()
    ablation(tree, tmp_path / "b", again).run(["baseline", "both"], [0])
    assert again.parts == []
    assert sorted(path.suffix for path in (tmp_path / "b").iterdir()) == [".json", ".json"]


def test_cells_of_another_budget_are_refused(tree: Path, tmp_path: Path) -> None:
    ablation(tree, tmp_path / "a", Diary()).run(["both"], [0])
    other = CONFIG.model_copy(update={"schedule": CONFIG.schedule.model_copy(update={"epochs": 3})})
    with pytest.raises(ResumeError, match=r"cell\.schedule\.epochs: now 3, then 2"):
        ablation(tree, tmp_path / "a", Diary(), other).run(["both"], [0])


@pytest.mark.slow
def test_the_table_has_the_papers_costs_and_the_spread_over_the_seeds() -> None:
    cells = [
        {
            "row": row,
            "seed": seed,
            "fold": fold,
            "figures": {"mAP": 80.0 + seed + 2 * fold, "R1": 90.0, "R5": 95.0},
        }
        for row in ROWS
        for seed in (0, 1, 2)
        for fold in (0, 1)
    ]
    lines = summary(cells, NetworkConfig())
    counts = [round(line["parameters"] / 1e6, 3) for line in lines]
    assert counts == [61.448, 61.577, 47.293, 47.422]
    assert lines[-1]["multiply_accumulates"] / 1e9 == pytest.approx(13.66, abs=0.01)
    assert lines[0]["mAP"] == pytest.approx(82.0)
    assert lines[0]["mAP spread"] == pytest.approx(1.0)
    text = markdown(lines, ["a note"])
    assert "| + LKA + HCA | lka, lka, hca, hca | 47.422 | 13.66" in text
    assert "82.00 ± 1.00" in text
    assert "- a note" in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {8}


def test_class_retrieval_gets_its_recalls() -> None:
    figures = {"Recall@1": 50.0, "Recall@2": 60.0, "Recall@4": 70.0, "Recall@8": 80.0, "mAP": 20.0}
    cells = [{"row": "both", "seed": 0, "fold": 0, "figures": figures}]
    text = markdown(summary(cells, NetworkConfig(width=4, depth=(1, 1, 1, 1), image_size=(32, 32))), [])
    assert "| Recall@1 | Recall@2 | Recall@4 | Recall@8 | mAP |" in text
    assert "| 50.00 | 60.00 | 70.00 | 80.00 | 20.00 |" in text
    assert "±" not in text
    json.dumps(cells)
