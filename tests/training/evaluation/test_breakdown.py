"""How good a bundle is on one's own vehicles: pairs of cameras, types, the sentence, the hardest queries."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.service.command_line import Command, command_runner
from tests.training.bundles import write_colour_bundle
from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.evaluation.assessment import SILENT, assess
from training.evaluation.breakdown import breakdown, over_vehicles, sentence
from training.evaluation.descriptors import Described
from training.evaluation.hardest import hardest
from training.evaluation.measurement import Way
from training.evaluation.result import RetrievalResult
from training.features.extract import Features
from training.reporting.plots import draw_hardest


def known() -> tuple[Task, Features]:
    """Four vehicles before three cameras, of which c2 shows v3 as another vehicle."""
    source = np.random.default_rng(0)
    own = np.eye(6, 8)
    images, rows = [], []
    for vehicle in range(4):
        for camera in ("c1", "c2", "c3"):
            kind = "truck" if vehicle == 3 else "car"
            images.append(VehicleImage(Path(f"{vehicle}_{camera}.png"), f"v{vehicle}", camera, kind))
            shown = own[vehicle]
            if (vehicle, camera) == (3, "c2"):
                shown = 0.9 * own[0] - 0.2 * own[3] + 0.4 * own[5]
            rows.append(shown + 0.01 * source.normal(size=8))
    found = np.array(rows, dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return Task("all against all", images, images), Features(images, found, None)


def test_each_ordered_pair_of_cameras_and_each_type_has_its_figures() -> None:
    task, features = known()
    described = Described(features.images, features.descriptors, None)
    shares = breakdown(task, described, Way.plain, None, SILENT)
    pairs = {share.name: share for share in shares if share.kind == "camera pair"}
    assert set(pairs) == {f"c{a} → c{b}" for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    assert {name for name, share in pairs.items() if share.R1.mean < 100} == {
        "c1 → c2", "c3 → c2", "c2 → c1", "c2 → c3",
    }  # fmt: skip
    assert pairs["c1 → c3"].R1.mean == 100
    assert (pairs["c1 → c2"].queries, pairs["c1 → c2"].vehicles, pairs["c1 → c2"].R1.mean) == (4, 4, 75)
    types = {share.name: share for share in shares if share.kind == "vehicle type"}
    assert types["truck"].queries == 3
    assert types["truck"].R1.mean < types["car"].R1.mean


def result_of(ranks: list[int], vehicles: list[str]) -> RetrievalResult:
    names = np.array([f"q{number}" for number in range(len(ranks))])
    return RetrievalResult(names, np.array(vehicles), 50, tuple(np.array([rank]) for rank in ranks))


def test_the_interval_is_over_vehicles_and_stays_honest_when_all_is_right() -> None:
    right = over_vehicles(result_of([1] * 30, [f"v{n}" for n in range(30)]), "R1")
    assert (right.mean, right.high) == (100, 100)
    assert right.low == pytest.approx(88.6, abs=0.1), "Wilson's for 30 of 30"
    spread = over_vehicles(result_of([1, 2] * 20, [f"v{n}" for n in range(40)]), "R1")
    crowded = over_vehicles(result_of([1, 2] * 20, [f"v{n % 4}" for n in range(40)]), "R1")
    assert crowded.high - crowded.low > spread.high - spread.low


def test_the_sentence_says_what_a_searcher_gets() -> None:
    task, features = known()
    said = sentence(assess(task, features))
    assert said.startswith("Of 100 searches the first match is correct in ")
    assert said.endswith("% of 12 searches for 4 vehicles among 12 images).")
    assert "first stage alone" not in said
    assert "95 % over vehicles; first stage alone; measured" in sentence(assess(task, features), alone=True)


def test_only_wrong_queries_are_on_the_sheet_with_camera_and_similarity(tmp_path: Path) -> None:
    task, features = known()
    result = assess(task, features).result
    worst = hardest(task, result, features, 8)
    assert worst
    assert all(hard.best > 1 for hard in worst)
    assert not any(hard.correct[0] for hard in worst)
    for hard in worst:
        assert hard.similarities == sorted(hard.similarities, reverse=True)
        assert hard.similarity <= hard.similarities[0]
    perfect = Features(features.images, np.repeat(np.eye(4, 8, dtype=np.float32), 3, axis=0), None)
    assert hardest(task, assess(task, perfect).result, perfect, 8) == []
    moved = [VehicleImage(tmp_path / i.path, i.vehicle_id, i.camera_id, i.vehicle_type) for i in task.queries]
    for image in moved:
        Image.new("RGB", (40, 30), "grey").save(image.path)
    there = Features(moved, features.descriptors, None)
    drawn = hardest(Task("t", moved, moved), result, there, 8)
    draw_hardest(drawn, tmp_path / "sheet.png", "title")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 150 * len(drawn)


@pytest.mark.slow
def test_the_command_begins_with_the_answer_and_writes_the_sheet(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command: Command = command_runner(monkeypatch, capsys)
    bundle = write_colour_bundle(tmp_path / "bundle")
    words = ["--bundle", bundle, "--data", tree, "--way", "plain", "--sheet", tmp_path / "sheet.png"]
    outcome = command("evaluate", *words)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("Of 100 searches the first match is correct in ")
    for wanted in ("By camera pair", "cam1 → cam2", "cam2 → cam1", "By vehicle type", "truck"):
        assert wanted in outcome.out
    assert "not written: no first match is wrong" in outcome.out
    with tree.open(newline="", encoding="utf-8") as file:
        first, *others = csv.DictReader(file)
    other = next(row for row in others if row["vehicle_id"] != first["vehicle_id"])
    (tree.parent / first["path"]).write_bytes((tree.parent / other["path"]).read_bytes())
    shown = re.search(
        r"(\d+) of (\d+) quer(y|ies) whose first match is wrong", command("evaluate", *words).out
    )
    assert shown is not None
    assert 1 <= int(shown[1]) <= int(shown[2])
    answer = json.loads(command("evaluate", *words[:6], "--json").out)
    assert answer["summary"].startswith("Of 100 searches")
    assert {share["name"] for share in answer["shares"]} == {"cam1 → cam2", "cam2 → cam1", "car", "truck"}
