"""Every command that takes a bundle or a run takes those of one's own trainings, and any folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from tests.service.command_line import Command, command_runner
from tests.training.tuning.conftest import lka_reid, outcome_of
from tests.training.tuning.test_walkthrough import write_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve vehicles before two cameras, named by their folders."""
    source = np.random.default_rng(5)
    for vehicle in range(12):
        own = tmp_path / "folder" / f"{vehicle:04}"
        write_images(source, [own / f"{camera}_1.png" for camera in ("east", "west")])
    return tmp_path / "folder"


@pytest.mark.slow
def test_a_run_of_ones_own_is_exported_exchanged_compared_and_shown(
    start: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = start.parent
    made = outcome_of("export", run, "--out", "exported")
    assert Bundle.load(Path("exported")).fingerprint == Bundle.load(start).fingerprint == made["fingerprint"]
    assert made["cosine_to_torch"] > 0.99
    trained_on = next(start.parents[1].glob("manifest.csv"))
    of = ("--data", trained_on, "--bundle", start, "--out")
    made = outcome_of("exchange-reranker", *of, "exchanged", "--reranker", run / "reranker.safetensors")
    exchanged = Bundle.load(Path("exchanged"))
    assert exchanged.fingerprint == Bundle.load(start).fingerprint == made["fingerprint"]
    assert exchanged.manifest.accuracy is not None
    assert made["accuracy"] == exchanged.manifest.accuracy.model_dump(mode="json")
    shown = lka_reid("compare-rerankers", run, "--out", "compared", "--probes", "2")
    assert "strip cross-attention" in shown
    assert "images that its embedder has learned from" in shown
    assert "would count the same vehicles twice" in lka_reid("compare-rerankers", run, run, status=2)
    sheets = [("--manifest", folder), ("--manifest", trained_on, "--among", folder)]
    for number, words in enumerate(sheets):
        shown = lka_reid("answer-sheet", *words, "--bundle", start, "--out", f"sheet-{number}.png")
        assert ": 24 queries" in shown, "each image of the manifest, once"
        assert Path(f"sheet-{number}.png").stat().st_size > 10_000
    assert "does not exist" in lka_reid("answer-sheet", "--among", "nothing", "--bundle", start, status=2)


@pytest.mark.slow
def test_an_explanation_takes_a_bundle_of_ones_own(
    start: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command: Command = command_runner(monkeypatch, capsys)
    one, other = folder / "0001" / "east_1.png", folder / "0001" / "west_1.png"
    outcome = command("explain", one, other, "--bundle", start, "-o", tmp_path / "why.png")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "why.png").stat().st_size > 10_000
