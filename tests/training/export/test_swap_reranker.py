"""Another second stage for a bundle: the embedder stays, and what is written is true."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, write_manifest, write_thresholds
from models.manifest import (
    BOTH_STAGES,
    FIRST_STAGE,
    Accuracy,
    AccuracyRow,
    DataSource,
    Protocol,
    RerankerTraining,
    Threshold,
    Training,
)
from models.reranker import RerankerConfig, StripReranker
from models.runtime import Models
from models.runtimes.forward import RuntimeOptions
from tests.models.explainable import SmallBundle
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.export.errors import ExportError
from training.export.swap_reranker import exchange_reranker, held_out_tasks
from training.reranker.selection import with_fusion

pytestmark = pytest.mark.slow  # a bundle is exported for all of them

ORIGIN = RerankerTraining(configuration={"heads": 1}, trained=False)


@pytest.fixture
def images(tree: Path) -> list[VehicleImage]:
    return read_manifest(tree)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("exchange") / "exported")


@pytest.fixture
def bundle(exported: Bundle, tmp_path: Path, images: list[VehicleImage]) -> Bundle:
    made = Bundle.load(shutil.copytree(exported.path, tmp_path / "old"))
    vehicles = tuple(sorted({image.vehicle_id for image in images}))
    training = Training(
        data=DataSource(name="coloured", sha256="0" * 64, vehicles=5),
        held_out_vehicles=vehicles,
        seed=0,
        commands=("make it",),
        embedder={},
    )
    accuracy = Accuracy(measured_on="vehicles", rows=(row("a baseline", 50.0), row(FIRST_STAGE, 60.0)))
    known = {"training": training, "accuracy": accuracy}
    write_manifest(made.path, made.manifest.model_copy(update=known))
    return Bundle.load(made.path)


def row(name: str, value: float, protocol: Protocol = "standard") -> AccuracyRow:
    return AccuracyRow(
        name=name, task="validation vehicles", protocol=protocol, queries=8, mAP=value, cmc={1: value}
    )


def all_of(images: list[VehicleImage]) -> list[Task]:
    return [Task("validation vehicles", images, images)]


def dataset(images: list[VehicleImage], tasks: list[Task] | None = None) -> Dataset:
    return Dataset("manifest", Path("data"), images, tasks or [], has_split=tasks is not None)


def along(bundle: Bundle) -> StripReranker:
    assert bundle.manifest.strips is not None
    width = bundle.manifest.strips[1]
    config = RerankerConfig(width, heads=1, fusion=0.25, distance="attention", sharpness=20)
    return StripReranker(config).eval()


def test_the_embedder_stays_the_second_stage_gives_torchs_numbers_and_is_measured_anew(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    reranker = along(bundle)
    made = exchange_reranker(bundle, tmp_path / "new", reranker, all_of(images), ORIGIN, "exchange it")
    assert made.embedder.read_bytes() == bundle.embedder.read_bytes()
    assert made.fingerprint == bundle.fingerprint
    assert made.manifest.reranker is not None
    assert made.manifest.reranker.config == reranker.config.to_dict()
    assert made.manifest.training is not None
    assert made.manifest.training.reranker == ORIGIN
    assert made.manifest.training.commands == ("make it", "exchange it")
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
    assert made.manifest.accuracy is not None
    baseline, first, both = made.manifest.accuracy.rows
    assert baseline == row("a baseline", 50.0)
    assert [(each.name, each.queries, each.protocol) for each in (first, both)] == [
        (FIRST_STAGE, len(images), "standard"),
        (BOTH_STAGES, len(images), "standard"),
    ]
    assert None not in (both.won, both.lost)


def test_another_fusion_of_the_same_weights_keeps_where_they_come_from(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    known = RerankerTraining(
        configuration={"seed": 3, "shape": {"fusion": 0.25, "heads": 1}}, lists={"mined": "out of fold"}
    )
    reranker = along(bundle)
    first = exchange_reranker(bundle, tmp_path / "first", reranker, all_of(images), known)
    shifted = with_fusion(reranker, 7.0)
    made = exchange_reranker(first, tmp_path / "second", shifted, all_of(images), ORIGIN)
    assert made.manifest.reranker is not None
    assert made.manifest.reranker.config["fusion"] == 7.0
    assert made.manifest.training is not None
    assert made.manifest.training.reranker == known.model_copy(
        update={"configuration": {"seed": 3, "shape": {"fusion": 7.0, "heads": 1}}}
    )
    with torch.no_grad():
        next(shifted.parameters()).mul_(2)
    other = exchange_reranker(made, tmp_path / "third", shifted, all_of(images), ORIGIN)
    assert other.manifest.training is not None
    assert other.manifest.training.reranker == ORIGIN


def test_a_bundle_replaced_by_its_copy_keeps_its_threshold_and_the_protocol_of_its_figures(
    bundle: Bundle, images: list[VehicleImage]
) -> None:
    rows = (row("a baseline", 50.0, "cross-camera"), row(FIRST_STAGE, 60.0, "cross-camera"))
    accuracy = Accuracy(measured_on="vehicles, both camera directions", rows=rows)
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"accuracy": accuracy}))
    threshold = Threshold(
        similarity=0.5,
        false_match_rate=1e-3,
        false_match_interval=(1e-4, 1e-2),
        true_match_rate=0.9,
        measured_on="vehicles",
        fingerprint=bundle.fingerprint,
    )
    write_thresholds(bundle.path, threshold)
    old = Bundle.load(bundle.path)
    made = exchange_reranker(old, bundle.path, along(bundle), all_of(images), ORIGIN)
    assert made.path == bundle.path
    assert made.manifest.threshold == threshold
    measured = made.manifest.accuracy
    assert measured is not None
    assert measured.measured_on == accuracy.measured_on
    assert [each.protocol for each in measured.rows] == ["cross-camera"] * 3
    assert set(measured.rows[-1].by_querying_camera) == {"cam1", "cam2"}


def test_figures_of_vehicles_that_it_was_trained_on_are_refused(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    strange = dataclasses.replace(images[0], vehicle_id="of the training", path=Path("strange.png"))
    with pytest.raises(DatasetError, match=r"of the training is no held-out vehicle of .*old"):
        exchange_reranker(bundle, tmp_path / "new", along(bundle), all_of([*images, strange]), ORIGIN)
    with pytest.raises(DatasetError, match="no image of a held-out vehicle"):
        exchange_reranker(bundle, tmp_path / "new", along(bundle), all_of([]), ORIGIN)
    assert not (tmp_path / "new").exists()


def test_a_data_sets_own_tasks_are_measured_and_otherwise_the_held_out_vehicles(
    bundle: Bundle, images: list[VehicleImage]
) -> None:
    strange = dataclasses.replace(images[0], vehicle_id="of the training", path=Path("strange.png"))
    tasks = [Task("small", images[:2], images[2:]), Task("large", images, images)]
    assert held_out_tasks(bundle, dataset([strange], tasks)) == tasks
    with pytest.raises(DatasetError, match="of the training is no held-out vehicle"):
        held_out_tasks(bundle, dataset([], [Task("test", [strange], images)]))
    (task,) = held_out_tasks(bundle, dataset([strange, *images]))
    assert task.queries == task.gallery == images


def test_a_bundle_that_names_no_held_out_vehicles_is_exchanged_without_figures(
    exported: Bundle, bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    assert held_out_tasks(exported, dataset(images)) == []
    made = exchange_reranker(exported, tmp_path / "new", along(exported), [], ORIGIN)
    assert made.fingerprint == exported.fingerprint
    assert made.manifest.reranker is not None
    assert made.manifest.accuracy is None
    with pytest.raises(DatasetError, match="names no vehicles that were held out"):
        exchange_reranker(exported, tmp_path / "other", along(exported), all_of(images), ORIGIN)
    with pytest.raises(DatasetError, match="no image of a held-out vehicle"):
        exchange_reranker(bundle, tmp_path / "other", along(bundle), [], ORIGIN)


def test_strips_of_another_width_are_refused_and_nothing_is_left(
    bundle: Bundle, images: list[VehicleImage], tmp_path: Path
) -> None:
    wrong = StripReranker(RerankerConfig(strip_width=64))
    with pytest.raises(ExportError, match=r"the re-ranker compares some of width 64"):
        exchange_reranker(bundle, tmp_path / "new", wrong, all_of(images), ORIGIN)
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []
