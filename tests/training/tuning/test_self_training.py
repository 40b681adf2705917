"""`lka-reid adapt --level 2`: an embedder trained on clusters, which labelled pairs keep or roll back."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from models.bundle import EXPLAINER, RERANKER, Bundle
from models.runtime import Models
from tests.terminal import widen
from tests.training.evaluation.test_protocol import Quiet
from tests.training.tuning.conftest import lka_reid
from tests.training.tuning.test_walkthrough import write_images
from training.tuning.pairs import LabelledPair, similarities_of, write_pairs

SHORT = ("--set", "schedule.epochs=3", "--set", "schedule.warm_up=2", "--set", "optimiser.learning_rate=1e-2")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Eighteen coloured vehicles before two cameras, two images each."""
    source = np.random.default_rng(0)
    root = tmp_path / "crops"
    for vehicle in range(18):
        names = product(("gate-1", "gate-2"), range(2))
        write_images(source, [root / gate / f"{vehicle}-{number}.png" for gate, number in names])
    return root


def moved(start: Path, trained: Path, crops: Path, *, apart: bool) -> list[LabelledPair]:
    """Pairs with labels that the trained bundle has come closer to, or gone away from."""
    files = sorted(crops.rglob("*.png"))
    pairs = [LabelledPair(one, other) for one in files[:20] for other in files[40:]]
    before, after = (
        similarities_of(Models.load(Bundle.load(folder), "cpu"), pairs, Quiet())
        for folder in (start, trained)
    )
    order = np.argsort(after - before)
    fallen, risen = order[:40], order[-40:]
    same, different = (fallen, risen) if apart else (risen, fallen)
    chosen = [(place, True) for place in same] + [(place, False) for place in different]
    return [LabelledPair(pairs[place].first, pairs[place].second, said) for place, said in chosen]


@pytest.mark.slow
def test_labelled_pairs_keep_a_trained_embedder_or_roll_it_back(
    start: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    out, pairs = tmp_path / "learned", tmp_path / "pairs.csv"
    words = ("adapt", crops, "--level", "2", "--bundle", start, "--out", out, "--runtime", "cpu", *SHORT)
    assert "about 50 are needed" in lka_reid(*words, status=2), "nothing is trained that nobody can judge"
    assert not out.exists()
    files = sorted(crops.rglob("*.png"))
    some = [LabelledPair(files[0], each, same=number < 6) for number, each in enumerate(files[1:13])]
    write_pairs(pairs, some)
    lka_reid(*words, "--pairs", pairs)
    trained = out / "trained"
    assert Bundle.load(trained).fingerprint != Bundle.load(start).fingerprint
    assert json.loads((out / "clusters.json").read_text(encoding="utf-8"))["found"]["of"] == 72
    finished = {path: path.stat().st_mtime_ns for path in (out / "embedder").rglob("*")}

    write_pairs(pairs, moved(start, trained, crops, apart=True))
    shown = lka_reid(*words, "--pairs", pairs)
    assert "Rolled back" in shown
    assert Bundle.load(out / "bundle").fingerprint == Bundle.load(start).fingerprint
    assert not json.loads((out / "report" / "level-2.json").read_text(encoding="utf-8"))["kept"]

    write_pairs(pairs, moved(start, trained, crops, apart=False))
    shown = lka_reid(*words, "--pairs", pairs)
    assert "Kept:" in shown
    kept = Bundle.load(out / "bundle")
    assert kept.fingerprint == Bundle.load(trained).fingerprint
    assert kept.manifest.threshold is not None, "level 1 follows, with the trained embedder"
    assert {path: path.stat().st_mtime_ns for path in (out / "embedder").rglob("*")} == finished

    before = Bundle.load(start)
    assert kept.manifest.reranker == before.manifest.reranker, "the second stage's parts did not change"
    for name in (RERANKER, EXPLAINER):
        assert kept.manifest.files[name] == before.manifest.files[name]
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.uint8)
    strips = [Models.load(bundle, "cpu").embedder.embed(images).strips for bundle in (before, kept)]
    assert strips[0] is not None
    assert strips[1] is not None
    np.testing.assert_allclose(strips[0], strips[1], atol=2e-3)


@pytest.mark.slow
def test_tracks_without_training_are_refused(crops: Path, tmp_path: Path) -> None:
    table = tmp_path / "tracks.csv"
    table.write_text("path,track\n", encoding="utf-8")
    assert "belong to --level 2" in " ".join(lka_reid("adapt", crops, "--tracks", table, status=2).split())
