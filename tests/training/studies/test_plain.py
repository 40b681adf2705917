from __future__ import annotations

from pathlib import Path

import pytest

from models.bundle import Bundle, write_manifest
from models.manifest import DataSource, Training
from models.runtime import Models
from tests.models.explainable import SmallBundle
from tests.training.small import Diary, experiment
from training.datasets.image import DatasetError
from training.embedder.experiment import Experiment, Sources
from training.studies import plain
from training.studies.plain import compare_embedders


@pytest.fixture
def network(tree: Path, tmp_path: Path) -> Experiment:
    config = experiment(
        name="plain",
        data={"validation_vehicles": 4},
        schedule={"epochs": 1, "warm_up": 0, "freeze": 0},
        evaluation={"every": 0, "hardest": 0},
        bundle={"export": False},
    )
    return Experiment(config, Sources(tree, None), tmp_path / "plain", Diary())


def with_held_out(bundle: Bundle, vehicles: set[str]) -> Models:
    training = Training(
        data=DataSource(name="tree", sha256="0" * 64, vehicles=8),
        held_out_vehicles=tuple(sorted(vehicles)),
        seed=0,
        embedder={},
    )
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"training": training}))
    return Models.load(Bundle.load(bundle.path), "cpu")


@pytest.mark.slow
def test_a_bundle_is_measured_beside_the_plain_network_on_vehicles_that_neither_learned_from(
    network: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bundle: SmallBundle
) -> None:
    monkeypatch.setattr(plain, "IMAGENET_SIDE", 48)
    bundle = small_bundle(tmp_path / "bundle")
    held_out = {image.vehicle_id for image in network.tasks[0].images()}
    found = compare_embedders(network, with_held_out(bundle, held_out))
    assert [row.name for row in found.rows] == [
        "plain, ImageNet only, 48 px",
        "plain, fine-tuned, 32 px",
        "first stage",
        "both stages",
    ]
    assert {(row.queries, row.protocol) for row in found.rows} == {(8, "cross-camera")}
    assert held_out.isdisjoint(image.vehicle_id for image in network.train)
    compare_embedders(network, Models.load(Bundle.load(bundle.path), "cpu"))
    reporter = network.reporter
    assert isinstance(reporter, Diary)
    assert len(reporter.beginnings) == 1, "the plain network is trained once"

    learned = {image.vehicle_id for image in network.train}
    with pytest.raises(DatasetError, match="is no held-out vehicle"):
        compare_embedders(network, with_held_out(Bundle.load(bundle.path), learned))
