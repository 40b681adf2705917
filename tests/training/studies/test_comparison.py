"""The comparison of re-rankers: the same lists for all, settings from other vehicles, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.reranker import RerankerConfig, StripReranker
from training.checkpoints.weights import save_reranker
from training.cli import app
from training.datasets.image import VehicleImage
from training.evaluation.cross_camera import cross_camera, pooled
from training.evaluation.metrics import figures
from training.features.extract import Features
from training.features.store import save_features
from training.reranker.selection import FUSIONS
from training.studies.baselines import AlphaExpansion, Baseline, Collection, KReciprocal
from training.studies.baselines.baseline import Codes, RankOne
from training.studies.baselines.collection import Floats
from training.studies.comparison import (
    FIRST,
    OURS,
    PLACE,
    Cell,
    ComparisonError,
    Lists,
    choose,
    choose_by_place,
    figures_of,
    first_stage,
    measure,
)
from training.studies.comparison_table import all_paired, markdown, paired, protocol_notes, summary
from training.studies.latency import time_probes

VEHICLES = 24


def features(seed: int, *, cameras: int = 2, known: bool = True, prefix: str = "v") -> Features:
    """Each vehicle before every camera; its strips say who it is where its descriptor does not."""
    source = np.random.default_rng(seed)
    images = [
        VehicleImage(Path(f"{v}_{c}.jpg"), f"{prefix}{v:03}", f"c{c}" if known else "")
        for v in range(VEHICLES)
        for c in range(cameras)
    ]
    descriptors = np.repeat(source.normal(size=(VEHICLES, 12)), cameras, axis=0)
    descriptors += 0.7 * source.normal(size=descriptors.shape)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    strips = np.repeat(source.normal(size=(VEHICLES, 4, 16)), cameras, axis=0)
    return Features(images, descriptors.astype(np.float32), strips.astype(np.float32))


def written(folder: Path, *, fold: int = 0, seed: int = 0, known: bool = True) -> Cell:
    place = folder / f"fold-{fold}-seed-{seed}"
    number = 10 * fold + seed
    # Seeds measure the same vehicles, folds different ones.
    save_features(place / "validation", features(number, known=known, prefix=f"val{fold}-"), {})
    save_features(place / "test", features(100 + number, known=known, prefix=f"test{fold}-"), {})
    save_reranker(place / "reranker.safetensors", StripReranker(RerankerConfig(strip_width=16, heads=4)))
    return Cell.at(place)


def no_clock(cell: Cell, baselines: Sequence[Baseline]) -> dict[str, float]:
    assert cell.folder.exists()
    return dict.fromkeys((FIRST, OURS, *(baseline.name for baseline in baselines)), 1.5)


BASELINES = (AlphaExpansion(), KReciprocal(), KReciprocal(transductive=True))


def test_each_camera_asks_the_others_where_cameras_are_known() -> None:
    known = features(0, cameras=3)
    found = Lists(known)
    assert len(found.first) == 3
    expected = figures([pooled(cross_camera(known))], ("mAP", "R1", "R5"))
    assert figures_of(found.first) == pytest.approx(expected)


def test_each_image_asks_all_others_where_no_camera_is_known() -> None:
    unknown = features(0, cameras=3, known=False)
    (ranking,) = first_stage(unknown)
    count = len(unknown.images)
    assert ranking.positions.shape == (count, count - 1)
    similarities = unknown.descriptors @ unknown.descriptors.T
    np.fill_diagonal(similarities, -np.inf)
    nearest = similarities.argmax(axis=1)
    right = unknown.vehicles[nearest] == unknown.vehicles
    assert figures_of([ranking])["R1"] == pytest.approx(100 * right.mean())
    for ranked in (Lists(unknown).by_baseline(KReciprocal(5, 2)), Lists(unknown).by_strips(untrained())):
        for own, order in enumerate(ranked[0].positions):
            assert sorted([*order.tolist(), own]) == list(range(count))


def untrained() -> StripReranker:
    return StripReranker(RerankerConfig(strip_width=16, heads=4)).eval()


@pytest.mark.parametrize("cameras", [["", "c1"], ["c1", "c1"]])
def test_images_that_nobody_could_ask_for_are_refused(cameras: list[str]) -> None:
    images = [VehicleImage(Path(f"{i}.jpg"), "v", camera) for i, camera in enumerate(cameras)]
    with pytest.raises(ComparisonError, match="two cameras, or none known"):
        first_stage(Features(images, np.eye(2, dtype=np.float32), None))


@dataclass(frozen=True)
class Spy:
    """Notes the galleries that it is asked for, under which setting."""

    seen: list[tuple[int, Floats]]
    setting: int = 0

    name = "spy"
    transductive = False
    offline = "none"

    @property
    def settings(self) -> dict[str, float]:
        return {"setting": self.setting}

    def grid(self) -> Sequence[Spy]:
        return [replace(self, setting=number) for number in range(3)]

    def prepared(self, gallery: Collection) -> RankOne:
        return lambda probe: np.argsort(-(gallery.descriptors @ probe), kind="stable")

    def rank(self, queries: Floats, gallery: Collection) -> Codes:
        self.seen.append((self.setting, gallery.descriptors))
        ranking: NDArray[np.intp] = np.argsort(-(queries @ gallery.descriptors.T), axis=1)
        # The middle setting is the best one; the others turn every list over.
        return ranking if self.setting == 1 else ranking[:, ::-1]

    def rank_others(self, images: Collection) -> Codes:
        raise NotImplementedError


def test_settings_are_chosen_without_a_look_at_the_test_features(tmp_path: Path) -> None:
    cell = written(tmp_path)
    spy = Spy([])
    found = measure(cell, no_clock, [spy])
    validation, test = (
        [d.gallery.descriptors for d in first_stage(cell.features(part))] for part in ("validation", "test")
    )
    asked = [(setting, gallery) for setting in range(3) for gallery in validation]
    asked += [(1, gallery) for gallery in test]
    assert len(spy.seen) == len(asked)
    for (setting, seen), (wanted, gallery) in zip(spy.seen, asked, strict=True):
        assert setting == wanted
        np.testing.assert_array_equal(seen, gallery)
    assert found["methods"]["spy"]["settings"] == {"setting": 1}


@pytest.mark.slow
def test_the_best_on_validation_is_chosen_and_the_first_of_equals() -> None:
    lists = Lists(features(0))
    chosen = choose(KReciprocal(), lists)
    accuracy = [one["mAP"] for one in chosen.tried]
    best = int(np.argmax(accuracy))
    assert chosen.tried[best] == {**chosen.baseline.settings, "mAP": max(accuracy)}
    assert max(accuracy) == figures_of(lists.by_baseline(chosen.baseline))["mAP"]
    assert len(set(accuracy)) > 1

    class Equals(Spy):
        def rank(self, queries: Floats, gallery: Collection) -> Codes:
            return np.tile(np.arange(len(gallery)), (len(queries), 1))

    assert choose(Equals([]), lists).baseline.settings == {"setting": 0}


@pytest.mark.slow
def test_a_cell_holds_every_method_on_the_same_queries(tmp_path: Path) -> None:
    cell = written(tmp_path)
    found = measure(cell, no_clock, BASELINES)
    assert list(found["methods"]) == [FIRST, OURS, PLACE, *(baseline.name for baseline in BASELINES)]
    for name, method in found["methods"].items():
        assert (
            len(method["precision"]) == len(method["first_correct"]) == len(found["vehicles"]) == 2 * VEHICLES
        )
        first = np.array(method["first_correct"])
        assert method["figures"]["R1"] == pytest.approx(100 * (first == 1).mean()), name
        assert method["figures"]["mAP"] == pytest.approx(100 * np.mean(method["precision"])), name
    # Strips, kept as float16, tell the vehicles apart; descriptors do not.
    assert found["methods"][OURS]["figures"]["R1"] > found["methods"][FIRST]["figures"]["R1"]
    expected = figures([pooled(cross_camera(cell.features("test"), cell.reranker()))], ("mAP",))
    assert found["methods"][OURS]["figures"]["mAP"] == pytest.approx(expected["mAP"])
    assert found["methods"]["k-reciprocal, all probes at once"]["milliseconds"] is None
    assert json.loads(json.dumps(found)) == found


def made_up(seed: int, fold: int, first: list[int], ours: list[int]) -> dict[str, object]:
    def method(ranks: list[int]) -> dict[str, object]:
        right = np.array(ranks)
        return {
            "settings": {},
            "offline": "none",
            "figures": {"mAP": 100 * (1 / right).mean(), "R1": 100 * (right == 1).mean(), "R5": 100.0},
            "milliseconds": 2.0 + seed,
            "precision": (1 / right).tolist(),
            "first_correct": ranks,
        }

    return {
        "seed": seed,
        "fold": fold,
        "protocol": "cameras",
        "vehicles": [f"{fold}-{i // 2}" for i in range(len(first))],
        "methods": {FIRST: method(first), OURS: method(ours)},
    }


CELLS = [
    made_up(0, 0, [1, 2, 2, 1], [1, 1, 1, 2]),
    made_up(0, 1, [1, 1, 2, 2], [1, 1, 1, 1]),
    made_up(1, 0, [2, 2, 2, 1], [1, 1, 2, 1]),
    made_up(1, 1, [1, 1, 1, 1], [1, 1, 1, 1]),
]


def test_the_spread_is_that_of_the_seeds_means_over_folds() -> None:
    first, ours = summary(CELLS)
    assert (first["R1"], ours["R1"]) == (56.25, 87.5)
    # Seeds: (50 + 50) / 2 and (25 + 100) / 2; (75 + 100) / 2 and (75 + 100) / 2.
    assert first["R1 spread"] == pytest.approx(np.std([50, 62.5], ddof=1))
    assert ours["R1 spread"] == 0
    assert first["milliseconds"] == 2.5
    assert summary(CELLS[:2])[0]["R1 spread"] is None


def test_ours_and_the_first_stage_are_paired_query_by_query_over_all_cells() -> None:
    found = paired(CELLS, OURS, FIRST)
    assert (found["won"], found["lost"], found["queries"], found["vehicles"]) == (6, 1, 16, 4)
    assert found["p"] == 2 * (1 + 7) / 2**7
    assert found["R1"]["mean"] == pytest.approx(100 * 5 / 16)
    assert found["R1"]["low"] <= found["R1"]["mean"] <= found["R1"]["high"]
    assert found == paired(CELLS, OURS, FIRST)


def test_the_tables_are_markdown_with_their_notes() -> None:
    lines = summary(CELLS)
    text = markdown(lines, all_paired(CELLS), protocol_notes(CELLS, lines)).splitlines()
    assert text[:4] == [
        "| | mAP | R1 | R5 | ms a probe |",
        "|---|---:|---:|---:|---:|",
        "| first stage | 78.12 ± 4.42 | 56.25 ± 8.84 | 100.00 ± 0.00 | 2.50 |",
        f"| {OURS} | 93.75 ± 0.00 | 87.50 ± 0.00 | 100.00 ± 0.00 | 2.50 |",
    ]
    assert text[5].startswith(f"| {OURS} against | won | lost | p (McNemar) |")
    assert text[7].startswith("| first stage | 6 | 1 | 0.12 | +31.25 [")
    assert "- cells: 4, folds: 2, seeds: 2; 16 queries of 4 vehicles; each camera's images" in "\n".join(text)
    assert "- mean ± standard deviation over 2 seeds, each the mean of its folds" in text


def test_single_probes_are_timed_under_both_protocols(tmp_path: Path) -> None:
    for number, known in enumerate((True, False)):
        cell = written(tmp_path, seed=number, known=known)
        found = time_probes(cell, [AlphaExpansion(), KReciprocal()], probes=6)
        assert set(found) == {FIRST, OURS, "alpha query expansion", "k-reciprocal, single probe"}
        assert all(0 < value < 1000 for value in found.values())


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [("fold-0-seed-1", "test", "has no test"), ("cell", "", "called like fold-0-seed-1")],
)
def test_a_folder_that_is_no_cell_is_refused(tmp_path: Path, name: str, part: str, message: str) -> None:
    place = written(tmp_path, seed=1).folder
    if part:
        (place / part).rename(tmp_path / "elsewhere")
    with pytest.raises(ComparisonError, match=message):
        Cell.at(place.rename(tmp_path / name))


def test_a_seeds_folder_may_hold_the_folds(tmp_path: Path) -> None:
    place = written(tmp_path).folder
    (tmp_path / "seed-3").mkdir()
    cell = Cell.at(place.rename(tmp_path / "seed-3" / "fold-2"))
    assert (cell.fold, cell.seed, cell.name) == (2, 3, "fold-2-seed-3")


@pytest.mark.slow
def test_the_command_writes_cells_and_tables(tmp_path: Path) -> None:
    cells = [written(tmp_path, fold=fold) for fold in (0, 1)]
    out = tmp_path / "out"
    words = ["compare-rerankers", *(str(cell.folder) for cell in cells), "--out", str(out), "--probes", "4"]
    words.append("--json")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == [
        "fold-0-seed-0.json",
        "fold-1-seed-0.json",
        "table.json",
        "table.md",
    ]
    table = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == table
    by_name = {row["method"]: row for row in table["rows"]}
    assert by_name[OURS]["milliseconds"] > 0
    assert {test["other"] for test in table["tests"]} == set(by_name) - {OURS}
    assert "one seed, so no spread" in (out / "table.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_command_says_what_is_wrong_with_a_cell(tmp_path: Path) -> None:
    cell = written(tmp_path)
    (cell.folder / "test" / "images.json").unlink()
    done = CliRunner().invoke(app, ["compare-rerankers", str(cell.folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    twice = CliRunner().invoke(app, ["compare-rerankers", str(cell.folder), str(cell.folder)])
    assert twice.exit_code == 2


def test_the_distance_by_place_has_its_fusion_chosen_on_the_validation_features(tmp_path: Path) -> None:
    cell = written(tmp_path, seed=0, known=True)
    model, tried = choose_by_place(Lists(cell.features("validation")))
    assert model.config.distance == "place"
    assert [each["fusion"] for each in tried] == list(FUSIONS)
    best = max(tried, key=lambda each: each["mAP"])
    assert model.config.fusion == best["fusion"]
