"""The study of camera statistics: who searches whom, and that a camera's influence is found and taken out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.datasets.image import VehicleImage
from training.features.extract import Features
from training.studies.camera_statistics import Known, Material, measure

DIM, VEHICLES = 32, 60


@pytest.fixture(scope="module")
def material() -> Material:
    """Vehicles before two cameras that change every descriptor alike."""
    random = np.random.default_rng(0)
    own = random.standard_normal((VEHICLES, DIM))
    parts = []
    for camera in ("a", "b"):
        rows = own + 2.5 * random.standard_normal(DIM) + 0.3 * random.standard_normal((VEHICLES, DIM))
        images = [
            VehicleImage(
                path=Path(f"{camera}/{n}"),
                vehicle_id=f"v{n}",
                camera_id=camera,
                vehicle_type="car" if n % 3 else "bus",
            )
            for n in range(VEHICLES)
        ]
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        parts.append(Features(images, unit.astype(np.float32), None))
    return Material(parts, seed=0)


def test_no_vehicle_of_a_probe_is_among_those_its_camera_is_learned_from(material: Material) -> None:
    searches = list(material.searches(["b"], ["a", "b"]))
    assert len(searches) == 2
    for search in searches:
        asking = set(material.vehicles[search.probes])
        assert not asking & set(material.vehicles[search.learned_from])
        assert set(material.cameras[search.probes]) == set(material.cameras[search.learned_from]) == {"b"}
        assert set(material.cameras[search.gallery]) == {"a"}
        assert asking <= set(material.vehicles[search.gallery])
    assert sum(len(search.probes) for search in searches) == VEHICLES


def test_images_of_the_camera_bring_what_its_influence_costs(material: Material) -> None:
    findings = measure("data", material, list(material.searches(["b"], ["a"])), 0)
    by_case = {(finding.known, finding.count): finding for finding in findings}
    assert {finding.queries for finding in findings} == {VEHICLES}
    many = by_case[Known.images, "30"]
    assert many.difference.low > 0
    assert many.normalised > many.plain + 10
    assert many.normalised - many.plain == pytest.approx(many.difference.mean)
    assert by_case[Known.nothing, "0"].normalised < many.normalised
    assert {known for known, _ in by_case} == set(Known)
