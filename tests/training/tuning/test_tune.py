"""`lka-reid tune`: a configuration from the data, both stages, thresholds, and which bundle to serve."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.bundle import Bundle
from models.manifest import EMBEDDER
from models.shape import NetworkConfig
from tests.terminal import widen
from tests.training.conftest import pretend
from tests.training.tuning.conftest import lka_reid, outcome_of
from training.config.embedder import ExperimentConfig
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.layouts import open_dataset
from training.distributed import Process
from training.embedder.run import new_embedder, start_descriptors
from training.evaluation.significance import Interval
from training.tuning.choices import name_after
from training.tuning.comparison import Compared, Comparison
from training.tuning.plan import make_plan

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = (CONFIGS / "own.yaml", CONFIGS / "reranker-new-cameras.yaml")
QUICK = ("schedule.epochs=3", "schedule.warm_up=2")
QUICK_SECOND = ("training.steps=4", "training.check_every=2", "training.batch=4")


def quickly() -> list[str]:
    words = [word for change in QUICK for word in ("--set", change)]
    return words + [word for change in QUICK_SECOND for word in ("--reranker-set", change)]


@pytest.mark.slow
def test_a_bundle_is_tuned_calibrated_and_compared_and_finished_work_is_kept(
    start: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    out = tmp_path / "own"
    words: tuple[str | Path, ...] = (
        "tune",
        tree,
        "--bundle",
        start,
        "--out",
        out,
        "--runtime",
        "cpu",
        *quickly(),
    )
    shown = lka_reid(*words)
    before, after = Bundle.load(start).manifest, Bundle.load(out / "bundle").manifest
    assert shown.index("schedule.epochs") < shown.index("held back, both stages"), "printed before it starts"
    assert any(verdict in shown for verdict in ("Serve the tuned bundle", "Keep the bundle that you started"))
    assert after.name == f"own-{tree.parent.name.lower().replace('_', '-')}"
    assert after.network == before.network
    assert after.input == before.input
    assert after.reranker is not None
    assert before.reranker is not None
    assert after.reranker.config == before.reranker.config
    assert after.files[EMBEDDER] != before.files[EMBEDDER]
    assert after.training is not None
    assert after.training.weights is not None
    assert after.training.weights.sha256 == before.files[EMBEDDER].sha256
    assert len(after.training.held_out_vehicles) == 4
    report = json.loads((out / "report" / "tuning.json").read_text(encoding="utf-8"))
    assert report["fingerprint"] == Bundle.load(out / "bundle").fingerprint
    assert report["comparison"]["vehicles"] == 4
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert lka_reid(*words).splitlines()[-3:] == shown.splitlines()[-3:]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    answer = outcome_of(*words)
    assert {name: answer[name] for name in report["comparison"]} == report["comparison"]
    assert answer["bundle"] == str(out / "bundle")
    refused = lka_reid(*words, "--set", "seed=1", status=2)
    assert "seed" in refused


def test_the_configuration_follows_from_data_bundle_and_machine(tree: Path) -> None:
    from models.bundle import DEFAULT_BUNDLE

    dataset, bundle = open_dataset(tree), Bundle.load(DEFAULT_BUNDLE)
    on_cpu, on_gpu = (make_plan(dataset, bundle, device, FILES) for device in ("cpu", "cuda"))
    assert on_cpu.embedder.network.build().to_dict() == {
        **NetworkConfig.from_dict(bundle.manifest.network).to_dict(),
        "image_size": (128, 128),
        "projection": 0,
    }
    directions = bundle.manifest.network.get("projection", 0)
    assert on_cpu.embedder.projection.directions == directions, "estimated anew after the training"
    assert on_cpu.embedder.served_spec == bundle.manifest.input, "size and flip are the bundle's"
    assert (on_cpu.embedder.schedule.frozen_stages, on_gpu.embedder.schedule.frozen_stages) == (3, 1)
    assert on_gpu.embedder.network.image_size == (160, 160)
    larger = Dataset("manifest", tree, pretend(400, cameras=3), [], has_split=False)
    few, many = (make_plan(larger, bundle, device, FILES).images for device in ("cpu", "cuda"))
    assert 3000 < few < many
    assert on_cpu.embedder.data.validation_vehicles == 4
    assert on_cpu.embedder.batch.vehicles == 8
    assert on_cpu.embedder.losses.distillation > 0
    assert on_cpu.embedder.schedule.freeze_norms
    assert on_cpu.reranker is not None
    assert on_cpu.reranker.head.steps == 0, "the trunk keeps its weights, and so do its parts"
    assert on_gpu.reranker is not None
    assert on_gpu.reranker.head.parts == (4, 4)
    assert all(choice.why for choice in on_cpu.choices)
    changed = make_plan(dataset, bundle, "cpu", FILES, ["optimiser.learning_rate=1e-6"])
    assert changed.embedder.optimiser.learning_rate == 1e-6
    short = make_plan(dataset, bundle, "cpu", FILES, ["schedule.epochs=3"])
    (epochs,) = (choice for choice in short.choices if choice.key == "schedule.epochs")
    assert (epochs.value, epochs.why) == (3, "as you have set it")


@pytest.mark.parametrize(
    ("images", "changes", "said"),
    [
        (pretend(12, cameras=1), (), "no vehicle has two images"),
        ([replace(i, camera_id="c0") for i in pretend(12)], (), "all images are from camera c0"),
        (
            [replace(i, vehicle_id="unknown") if i.vehicle_id < "v003" else i for i in pretend(30)],
            (),
            "'unknown'",
        ),
        (
            [replace(i, vehicle_id=i.camera_id, camera_id=i.vehicle_id) for i in pretend(24, 3)],
            (),
            "camera/vehicle/",
        ),
        (pretend(12), ("data.measured=false",), "train embedder"),
        (pretend(12), ("data.validation_vehicles=11",), "too few vehicles: 1 to learn from"),
    ],
)
def test_what_would_end_a_tuning_is_said_with_its_plan(
    images: list[VehicleImage], changes: tuple[str, ...], said: str
) -> None:
    from models.bundle import DEFAULT_BUNDLE

    task = Task("all against all", images, images)
    dataset = Dataset("manifest", Path("own"), images, [task], has_split=False)
    with pytest.raises(DatasetError, match=re.escape(said)):
        make_plan(dataset, Bundle.load(DEFAULT_BUNDLE), "cpu", FILES, changes)


def test_a_bundle_is_named_after_its_data_in_plain_letters() -> None:
    names = [name_after(Path("/", name)) for name in ("Kfz Größe (Süd)", "gate_3", "车辆")]
    assert names == ["own-kfz-grosse-sud", "own-gate-3", "own"]


def row(low: float, high: float) -> Comparison:
    middle = Interval((low + high) / 2, low, high)
    return Comparison(50, 200, "both stages", (Compared("mAP", middle, middle, middle),))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 3, "Serve the tuned bundle"), (-1, 2, "may be chance"), (-3, -0.1, "the tuned one is worse")],
)
def test_the_tuned_bundle_is_to_be_served_only_where_it_is_surely_better(
    low: float, high: float, said: str
) -> None:
    found = row(low, high)
    assert said in found.verdict
    assert found.tuned_is_better == (low > 0)
    assert Comparison.from_json(json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.slow
def test_distillation_holds_descriptors_near_those_of_the_start(start: Path, tree: Path) -> None:
    from training.embedder.run import embedder_trainer

    dataset, bundle = open_dataset(tree), Bundle.load(start)
    moved = []
    for weight in (0.0, 100.0):
        changes = (f"losses.distillation={weight}", "schedule.epochs=6", "optimiser.learning_rate=3e-3")
        config: ExperimentConfig = make_plan(dataset, bundle, "cpu", FILES, changes).embedder
        images = dataset.train
        network = new_embedder(config, 12, bundle.embedder)
        before = start_descriptors(config, network, images, bundle.embedder, None, Process())
        trained = embedder_trainer(config, images, bundle.embedder).run()
        after = start_descriptors(config, trained, images, bundle.embedder, None, Process())
        moved.append(1 - float((before * after).sum(axis=1).mean()))
        stages = [trained.trunk.get_submodule(f"layer{n}").state_dict() for n in (1, 2, 3)]
        again = new_embedder(config, 12, bundle.embedder)
        for number, stage in enumerate(stages, start=1):
            kept = again.trunk.get_submodule(f"layer{number}").state_dict()
            assert all(torch.equal(stage[key], kept[key]) for key in kept), "frozen"
    assert moved[1] < moved[0] / 2
