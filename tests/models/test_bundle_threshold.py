"""A bundle's threshold: validated, and no part of the fingerprint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.bundle import MANIFEST, Bundle, BundleError, write_thresholds
from models.manifest import Threshold
from tests.service.fakes import write_bundle


def threshold(fingerprint: str, **changes: Any) -> Threshold:
    fields: dict[str, Any] = {
        "similarity": 0.7,
        "false_match_rate": 0.001,
        "false_match_interval": (0.0005, 0.002),
        "true_match_rate": 0.9,
        "measured_on": "images",
        "fingerprint": fingerprint,
    }
    return Threshold(**(fields | changes))


def test_a_threshold_leaves_the_fingerprint_and_the_files_as_they_are(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    before = Bundle.load(folder)
    assert before.manifest.threshold is None
    for similarity in (0.7, 0.6):
        written = threshold(before.fingerprint, similarity=similarity)
        write_thresholds(folder, written)
        after = Bundle.load(folder)
        assert after.manifest.threshold == written
        assert after.fingerprint == before.fingerprint
        assert after.manifest.files == before.manifest.files
    assert sorted(path.name for path in folder.iterdir()) == ["embedder.onnx", MANIFEST, "reranker.onnx"]


def test_a_threshold_of_another_bundle_is_refused(tmp_path: Path) -> None:
    first, second = write_bundle(tmp_path / "first", "one"), write_bundle(tmp_path / "second", "two")
    foreign = threshold(Bundle.load(first).fingerprint)
    own = threshold(Bundle.load(second).fingerprint)
    for both in ((foreign, None), (own, foreign)):
        with pytest.raises(BundleError, match="measured with another bundle"):
            write_thresholds(second, *both)
    manifest = json.loads((second / MANIFEST).read_text(encoding="utf-8"))
    for name in ("threshold", "normalised_threshold"):
        changed = manifest | {name: foreign.model_dump(mode="json")}
        (second / MANIFEST).write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(BundleError, match=rf" {name}: was measured with another bundle.*calibrate"):
            Bundle.load(second)


@pytest.mark.parametrize(
    "change", [{"similarity": 1.5}, {"false_match_rate": -0.1}, {"measured_on": ""}, {"extra": 1}]
)
def test_a_threshold_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_bundle(tmp_path / "bundle")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["threshold"] = threshold(Bundle.load(folder).fingerprint).model_dump(mode="json") | change
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json: threshold"):
        Bundle.load(folder)
