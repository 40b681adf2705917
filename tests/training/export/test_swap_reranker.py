"""Another second stage for a bundle: the embedder stays, and what is written is true."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, Threshold, write_manifest, write_threshold
from models.reranker import RerankerConfig, StripReranker
from models.runtime import Models
from models.runtimes.forward import RuntimeOptions
from tests.models.explainable import write_explainable
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.export.bundle import ExportError
from training.export.swap_reranker import exchange_reranker


@pytest.fixture
def images(tree: Path) -> list[VehicleImage]:
    return read_manifest(tree)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_explainable(tmp_path_factory.mktemp("exchange") / "exported")


@pytest.fixture
def bundle(exported: Bundle, tmp_path: Path, images: list[VehicleImage]) -> Bundle:
    made = Bundle.load(shutil.copytree(exported.path, tmp_path / "old"))
    known = {
        "training": {"validation": sorted({image.vehicle_id for image in images})},
        "accuracy": {"measured_on": "validation vehicles", "results": {"a rival": {"R1": 50.0}}},
    }
    write_manifest(made.path, made.manifest.model_copy(update=known))
    return Bundle.load(made.path)


def along(bundle: Bundle) -> StripReranker:
    assert bundle.manifest.strips is not None
    width = bundle.manifest.strips[1]
    config = RerankerConfig(width, heads=1, fusion=0.25, distance="attention", sharpness=20)
    return StripReranker(config).eval()


def test_the_embedder_stays_and_the_new_second_stage_answers_as_torch_does(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    reranker = along(bundle)
    made = exchange_reranker(bundle, tmp_path / "new", reranker, images, {"command": "so"})
    assert made.embedder.read_bytes() == bundle.embedder.read_bytes()
    assert made.fingerprint != bundle.fingerprint
    assert made.manifest.reranker is not None
    assert made.manifest.reranker.config == reranker.config.to_dict()
    assert made.manifest.training["second_stage"] == {"command": "so"}
    second = Models.load(made, "cpu", RuntimeOptions(threads=1)).reranker
    assert second is not None
    source = np.random.default_rng(0)
    shape = bundle.manifest.strips
    assert shape is not None
    strips = source.normal(size=(4, *shape)).astype(np.float16)
    strips /= np.linalg.norm(strips.astype(np.float32), axis=-1, keepdims=True).astype(np.float16)
    similarities = source.random((1, 3)).astype(np.float32)
    given = (torch.from_numpy(each.astype(np.float32)) for each in (strips[:1], strips[None, 1:]))
    with torch.inference_mode():
        expected = reranker(*given, torch.from_numpy(similarities))
    found = second.distances(strips[:1], strips[None, 1:], similarities)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-3)


def test_both_stages_are_measured_anew_and_rivals_stay(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    made = exchange_reranker(bundle, tmp_path / "new", along(bundle), images, {})
    results = made.manifest.accuracy["results"]
    assert results["a rival"] == {"R1": 50.0}
    assert results["LKA-ReID, first stage"]["queries"] == len(images)
    assert set(results["second stage"]) == {"won", "lost"}


def test_a_bundle_may_be_replaced_by_its_copy_and_keeps_its_threshold(
    bundle: Bundle, images: list[VehicleImage]
) -> None:
    threshold = Threshold(
        similarity=0.5,
        false_match_rate=1e-3,
        false_match_interval=(1e-4, 1e-2),
        true_match_rate=0.9,
        measured_on="vehicles",
        fingerprint=bundle.fingerprint,
    )
    write_threshold(bundle.path, threshold)
    made = exchange_reranker(Bundle.load(bundle.path), bundle.path, along(bundle), images, {})
    assert made.path == bundle.path
    assert made.manifest.threshold is not None
    assert made.manifest.threshold.similarity == 0.5
    assert made.manifest.threshold.fingerprint == made.fingerprint


def test_figures_of_vehicles_that_it_was_trained_on_are_refused(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    strange = dataclasses.replace(images[0], vehicle_id="of the training")
    with pytest.raises(DatasetError, match=r"of the training is no validation vehicle of .*old"):
        exchange_reranker(bundle, tmp_path / "new", along(bundle), [*images, strange], {})
    with pytest.raises(DatasetError, match="no picture of a validation vehicle"):
        exchange_reranker(bundle, tmp_path / "new", along(bundle), [], {})
    assert not (tmp_path / "new").exists()


def test_strips_of_another_width_are_refused_and_nothing_is_left(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    wrong = StripReranker(RerankerConfig(strip_width=64))
    with pytest.raises(ExportError, match=r"the re-ranker compares some of width 64"):
        exchange_reranker(bundle, tmp_path / "new", wrong, images, {})
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []
