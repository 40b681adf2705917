"""The thresholds that a bundle is shipped with: the set of vehicles that asks for most decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import DEFAULT_BUNDLE, Bundle
from training.datasets.image import VehicleImage
from training.evaluation.calibration import calibrate
from training.evaluation.variants import normalised
from training.studies.default_threshold import (
    FEW,
    GALLERY,
    MORE,
    VehicleSet,
    find_threshold,
    measured_on,
)


def vehicle_set(name: str, alike: float, false_alarms: float = FEW) -> VehicleSet:
    """Thirty vehicles before two cameras, the more alike the higher that number."""
    source = np.random.default_rng(len(name))
    own = np.repeat(source.normal(size=(30, 24)), 2, axis=0) + alike
    found = normalised((own + 0.5 * source.normal(size=own.shape)).astype(np.float32))
    images = [VehicleImage(Path(f"{v}_{c}.jpg"), f"v{v}", c) for v in range(30) for c in ("c1", "c2")]
    return VehicleSet(name, images, found, np.array([image.camera_id for image in images]), false_alarms)


@pytest.mark.slow
def test_the_set_that_asks_for_the_highest_threshold_decides() -> None:
    sets = [vehicle_set("plain", 0), vehicle_set("alike", 0.8), vehicle_set("lookalikes", 0.8, MORE)]
    found = find_threshold(sets, "as they are")
    own = {one.of.name: one.own.similarity for one in found}
    assert found[0].of.name == "alike"
    assert own["alike"] == max(own.values()) > own["lookalikes"]
    assert own["alike"] == calibrate(sets[1].side("as they are"), FEW / GALLERY)[0].similarity
    for one in found:
        assert one.false_match_rate <= one.of.false_alarms / GALLERY
        assert one.true_match_rate <= one.own.true_match_rate
    said = measured_on(found)
    assert "0.1 on alike (60 images of 30 vehicles)" in said
    assert "1 on lookalikes" in said
    assert said.endswith("the figures are those of alike, which ask for the highest threshold")


def test_normalised_descriptors_have_a_threshold_of_their_own() -> None:
    sets = [vehicle_set("plain", 0.8)]
    raw, without = (find_threshold(sets, way)[0].own.similarity for way in ("as they are", "normalised"))
    assert raw != pytest.approx(without, abs=0.01)


def test_the_shipped_bundle_has_both_thresholds_of_its_own_fingerprint() -> None:
    bundle = Bundle.load(DEFAULT_BUNDLE)
    assert bundle.manifest.threshold is not None
    assert bundle.manifest.normalised_threshold is not None
    assert bundle.manifest.threshold.fingerprint == bundle.fingerprint
    for threshold in (bundle.manifest.threshold, bundle.manifest.normalised_threshold):
        assert "false alarms per search in a gallery of 100" in threshold.measured_on
