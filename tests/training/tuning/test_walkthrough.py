"""Each command of docs/own-cameras.md, in its order, on twelve vehicles of 64 px.

The bundle is a tiny one and the training short; apart from these options the commands are as written.
"""

from __future__ import annotations

import csv
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle import Bundle
from tests.docs.pages import ROOT, commands
from tests.terminal import widen
from tests.training.tuning.conftest import lka_reid

pytestmark = [pytest.mark.slow, pytest.mark.walkthrough]
SHORT = ["--set", "schedule.epochs=3", "--set", "schedule.warm_up=2"]
SHORT += [
    word for key in ("steps=4", "check_every=2", "batch=4") for word in ("--reranker-set", f"training.{key}")
]


def write_images(source: np.random.Generator, paths: list[Path]) -> None:
    """One vehicle: four coloured quarters, seen with noise."""
    quarters = source.integers(0, 255, (2, 2, 3))
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.kron(quarters, np.ones((32, 32, 1))) + source.normal(0, 10, (64, 64, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def test_the_page_leads_from_crops_to_a_tuned_bundle(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    monkeypatch.chdir(tmp_path)
    source = np.random.default_rng(0)
    for folder in ("crops", "others"):
        for vehicle in range(12):
            own = Path(folder, f"{vehicle:04}")
            write_images(source, [own / f"{camera}_1.png" for camera in ("east", "west")])
    for number in range(36):
        write_images(source, [Path("unnamed", gate, f"{number}.png") for gate in ("gate-1", "gate-2")])
    shutil.copytree(start, "start")

    page = (ROOT / "docs" / "own-cameras.md").read_text(encoding="utf-8")
    run = {}
    for words in commands(page.split("## Crops that nobody")[0], "lka-reid") + commands(
        page.split("## Crops that nobody")[1], "lka-reid"
    ):
        name = words[0]
        # Commands that are only mentioned name no data.
        given = any(word.rstrip("/") in {"crops", "others", "unnamed"} for word in words)
        if not given or name in ("serve", "cameras"):
            continue
        if name not in ("data",) and "--bundle" not in words:
            words += ["--bundle", "start"]
        if name == "tune":
            words += SHORT
        if "--pairs" in words and name == "adapt":
            _say_yes_and_no(Path("pairs.csv"))
        if "--level" in words:
            words += SHORT[:4]
        level = words[words.index("--level") :][:2] if "--level" in words else []
        run[" ".join([*words[:2], *level])] = lka_reid(*words)

    assert {words.split()[0] for words in run} == {"data", "evaluate", "tune", "calibrate", "adapt", "label"}
    assert "Of 100 searches the first match is correct in" in run["evaluate --data"]
    assert "bundle that you started from" in run["tune crops/"] or "Serve the tuned" in run["tune crops/"]
    assert Bundle.load(Path("runs/own/bundle")).manifest.threshold is not None
    assert "labelled pairs right" in run["adapt unnamed/"]
    learned = run["adapt unnamed/ --level 2"]
    assert "Kept:" in learned or "Rolled back" in learned
    assert Bundle.load(Path("runs/learned/bundle")).manifest.threshold is not None
    assert Bundle.load(Path("runs/adapted/bundle")).fingerprint == Bundle.load(start).fingerprint


def _say_yes_and_no(pairs: Path) -> None:
    """Label every pair by the numbers of its files, and add some of two vehicles: both kinds are needed."""
    with pairs.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows += [{"first": one["first"], "second": other["second"]} for one, other in pairwise(rows)]
    for row in rows:
        row["same"] = "yes" if Path(row["first"]).stem == Path(row["second"]).stem else "no"
    with pairs.open("w", newline="", encoding="utf-8") as file:
        written = csv.DictWriter(file, ("first", "second", "same"))
        written.writeheader()
        written.writerows(rows)
