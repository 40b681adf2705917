"""The second stage's training as an experiment: what it leaves, what it may not see, and how it goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.bundle import Bundle
from models.runtime import Models
from tests.training.conftest import write_tree
from tests.training.reranker.runs import config, embedder, made
from tests.training.small import Diary, merged
from training.checkpoints.resume import ResumeError
from training.checkpoints.weights import load_reranker
from training.config.embedder import ExperimentConfig
from training.config.files import load_as, load_config
from training.config.reranker import RerankerExperimentConfig
from training.datasets.image import DatasetError, VehicleImage
from training.embedder.experiment import Experiment, Sources
from training.embedder.trainer import Trainer
from training.features.store import FeatureStoreError
from training.progress import Reporter
from training.reranker.experiment import RerankerExperiment
from training.reranker.lists import LearningLists, make_lists
from training.signals import StoppedError


def lists_of(found: RerankerExperiment) -> LearningLists:
    return make_lists(found.parts, found.roles, None, found.config.lists, found.config.training.batch)


def vehicles(images: list[VehicleImage]) -> set[str]:
    return {image.vehicle_id for image in images}


def without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    varying = {"seconds", "lists_per_second", "memory_gib"}
    history = [{k: v for k, v in row.items() if k not in varying} for row in metrics["history"]]
    return {**{key: metrics[key] for key in ("results", "checkpoint", "lists")}, "history": history}


def assert_same_reranker(first: Path, second: Path) -> None:
    a, b = (load_reranker(folder / "reranker.safetensors").state_dict() for folder in (first, second))
    assert all(torch.equal(b[name], value) for name, value in a.items())


@pytest.mark.slow
def test_a_run_leaves_weights_logs_report_and_a_bundle_of_two_stages(tree: Path, tmp_path: Path) -> None:
    folder, diary = tmp_path / "run", Diary()
    chosen = config(name="mine", bundle={"export": True})
    metrics = made(tree, folder, chosen, reporter=diary).run()
    assert load_as(RerankerExperimentConfig, folder / "config.yaml") == chosen
    assert load_config(folder / "embedder" / "config.yaml").network.strips == 2
    assert [row.step for row in diary.checks] == [4, 8, 12]
    assert all(row.validation is not None for row in diary.checks)
    assert diary.beginnings[-1] == (12, 0)
    assert list((folder / "tensorboard").iterdir())
    assert not (folder / "checkpoint").exists()
    for name in ("curves.png", "cmc.png"):
        with Image.open(folder / "report" / name) as figure:
            assert min(figure.size) > 300
    assert json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8")) == metrics
    assert [row["row"] for row in metrics["results"]] == ["first stage", "both stages"]
    assert all({"mAP", "R1", "R5"} <= row.keys() for row in metrics["results"])
    assert {"won", "lost"} <= metrics["second_stage"][0].keys()
    assert metrics["lists"]["mined"] == "by embedders that have not seen the lists' vehicles"
    losses = metrics["checkpoint"]["validation_losses"]
    assert set(losses) == {"0", "4", "8", "12"}
    assert losses[str(metrics["checkpoint"]["step"])] == min(losses.values())
    bundle = Bundle.load(folder / "bundle")
    assert bundle.manifest.name == "mine"
    accuracy = bundle.manifest.accuracy
    assert accuracy is not None
    assert [(r.name, r.task, r.queries, r.gallery, r.mAP, r.mINP) for r in accuracy.rows] == [
        tuple(row[key] for key in ("row", "task", "queries", "gallery", "mAP", "mINP"))
        for row in metrics["results"]
    ]
    assert [r.cmc for r in accuracy.rows] == [
        {rank: row[f"R{rank}"] for rank in (1, 5, 10)} for row in metrics["results"]
    ]
    moved = metrics["second_stage"][0]
    assert (accuracy.rows[1].won, accuracy.rows[1].lost) == (moved["won"], moved["lost"])
    assert Models.load(bundle, "cpu").reranker is not None


@pytest.mark.slow
@pytest.mark.parametrize("by", ["vehicles", "last"])
def test_no_embedder_has_seen_the_vehicles_of_the_lists_it_makes(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    learned_by: list[set[str]] = []

    def noted(network: Any, images: list[VehicleImage], *rest: Any, **options: Any) -> Any:
        learned_by.append(vehicles(images))
        return Trainer(network, images, *rest, **options)

    monkeypatch.setattr("training.embedder.run.Trainer", noted)
    run = made(tree, tmp_path / "run", config(lists={"views": 1}, checkpoint={"by": by}))
    lists = lists_of(run)
    listed = [vehicles(fold[0].features.images) for fold in lists.folds]
    assert len(listed) == len(learned_by) == 2
    for seen, fold in zip(learned_by, lists.folds, strict=True):
        assert len(fold) == 2
        for view in fold:
            assert not seen & vehicles(view.features.images)
    assert not listed[0] & listed[1]
    measured = vehicles(run.tasks[0].images())
    checked = {name for fold in lists.validation for name in vehicles(fold.features.images)}
    assert len(measured) == 2
    assert len(checked) == (2 if by == "vehicles" else 0)
    for some in (*listed, *learned_by):
        assert not some & measured
        assert not some & checked
    assert not checked & measured
    everything = {f"v{number:02}" for number in range(12)}
    assert set().union(*listed, checked, measured) == everything


def test_a_vehicle_in_training_and_test_is_refused(tree: Path, tmp_path: Path) -> None:
    lines = tree.read_text(encoding="utf-8").splitlines()
    roles = ["train" if number < 20 else "query" if number % 2 else "gallery" for number in range(24)]
    roles[-2:] = ["train", "query"]
    rows = [f"{line},{role}" for line, role in zip(lines[1:], roles, strict=True)]
    tree.write_text("\n".join([f"{lines[0]},role", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="vehicle v11 is to learn from and to measure on"):
        made(tree, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mining", "said"),
    [("augmented", "with changed images as probes"), ("own", "it leaks")],
)
def test_the_embedders_own_lists_are_labelled(tree: Path, tmp_path: Path, mining: str, said: str) -> None:
    chosen = config(lists={"mining": mining, "views": 1}, training={"steps": 4})
    metrics = made(tree, tmp_path / "run", chosen).run()
    assert said in metrics["lists"]["mined"]
    assert "was trained on the vehicles that the checkpoint" in metrics["checkpoint"]["note"]
    assert not (tmp_path / "run" / "folds").exists()


@pytest.mark.slow
def test_augmented_lists_ask_changed_copies_for_the_images_as_they_are(tree: Path, tmp_path: Path) -> None:
    chosen = config(lists={"mining": "augmented", "views": 2}, checkpoint={"by": "last"})
    lists = lists_of(made(tree, tmp_path / "run", chosen))
    ((first, second),) = lists.folds
    for fold in (first, second):
        count = len(fold.features.images) // 2
        descriptors, found = fold.features.descriptors, fold.lists
        assert (found.probes >= count).all()
        assert (found.candidates < count).all()
        cameras = fold.features.cameras
        assert (cameras[found.candidates] != cameras[found.probes][:, None]).all()
        expected = np.einsum("qd,qnd->qn", descriptors[found.probes], descriptors[found.candidates])
        np.testing.assert_allclose(found.similarities, expected, rtol=1e-5)
        assert (np.diff(found.similarities) <= 0).all()
        assert not np.array_equal(descriptors[:count], descriptors[count:])
    assert not np.array_equal(first.features.descriptors, second.features.descriptors)


def without_cameras(tree: Path) -> Path:
    lines = tree.read_text(encoding="utf-8").splitlines()
    bare = tree.with_name("classes.csv")
    bare.write_text("\n".join(",".join(line.split(",")[:2]) for line in lines) + "\n", encoding="utf-8")
    return bare


@pytest.mark.slow
@pytest.mark.parametrize("mining", ["out-of-fold", "augmented"])
def test_without_cameras_only_the_image_itself_is_left_out(tree: Path, tmp_path: Path, mining: str) -> None:
    chosen = config(
        lists={"mining": mining, "views": 1, "candidates": 7},
        checkpoint={"by": "last"},
        training={"batch": 1},
    )
    run = made(without_cameras(tree), tmp_path / "run", chosen)
    fold = lists_of(run).folds[0][0]
    paths = np.array([str(image.path) for image in fold.features.images])
    others = paths[fold.lists.candidates] != paths[fold.lists.probes][:, None]
    assert others.all()
    assert len(fold.lists)
    if mining == "out-of-fold":
        # Eight images in a fold: the seven others are the whole list.
        assert all(len(set(row)) == 7 for row in paths[fold.lists.candidates])
    metrics = run.run()
    assert {"Recall@1", "mAP"} <= metrics["results"][1].keys()


@pytest.mark.slow
def test_folds_cannot_choose_where_cameras_are_unknown(tree: Path, tmp_path: Path) -> None:
    chosen = config(checkpoint={"by": "folds"})
    with pytest.raises(DatasetError, match="some cameras are unknown; set it to vehicles"):
        made(without_cameras(tree), tmp_path / "run", chosen).run()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "by"),
    [
        ({"stop_after": 6, "unit": "lists"}, "vehicles"),
        ({"stop_after": 8, "unit": "lists"}, "vehicles"),
        ({"stop_after": 1, "training": 3}, "last"),
    ],
    ids=["between two checks", "at a check", "in a fold's embedder"],
)
def test_an_interrupted_run_is_resumed_to_the_same_numbers(
    tree: Path, tmp_path: Path, stop: dict[str, Any], by: str
) -> None:
    chosen = config(checkpoint={"by": by})
    parts = tmp_path / "parts" if by == "vehicles" else None
    straight = made(tree, tmp_path / "straight", chosen, parts=parts).run()
    diary = Diary(**stop)
    with pytest.raises(StoppedError, match=f"step {stop['stop_after']}"):
        made(tree, tmp_path / "broken", chosen, parts=parts, reporter=diary).run()
    torch.manual_seed(99)
    again = Diary()
    resumed = made(tree, tmp_path / "broken", chosen, parts=parts, reporter=again).run(resume=True)
    assert without_times(resumed) == without_times(straight)
    assert_same_reranker(tmp_path / "broken", tmp_path / "straight")
    if by == "vehicles":
        assert again.beginnings == [(12, stop["stop_after"])]


@pytest.mark.slow
def test_steps_and_fusion_chosen_by_folds_are_kept(tree: Path, tmp_path: Path) -> None:
    chosen = config(checkpoint={"by": "folds", "fusions": [0, 5]})
    parts = tmp_path / "parts"
    straight = made(tree, tmp_path / "straight", chosen, parts=parts).run()
    assert straight["checkpoint"]["fusion"] in (0, 5)
    losses = straight["checkpoint"]["validation_losses"]
    assert losses[str(straight["checkpoint"]["step"])] == min(losses.values())
    assert straight["lists"]["validation"] is None
    model = load_reranker(tmp_path / "straight" / "reranker.safetensors")
    assert model.config.fusion == straight["checkpoint"]["fusion"]
    # The first of the re-rankers without a fold is broken off.
    diary = Diary(stop_after=3, unit="lists")
    with pytest.raises(StoppedError):
        made(tree, tmp_path / "broken", chosen, parts=parts, reporter=diary).run()
    resumed = made(tree, tmp_path / "broken", chosen, parts=parts).run(resume=True)
    assert without_times(resumed) == without_times(straight)
    assert_same_reranker(tmp_path / "broken", tmp_path / "straight")


@pytest.mark.slow
def test_parts_are_made_once_and_shared_between_runs(tree: Path, tmp_path: Path) -> None:
    made(tree, tmp_path / "first", config(name="first"), parts=tmp_path / "parts").run()
    diary = Diary()
    second = config(name="second", training={"beta": 1.0})
    made(tree, tmp_path / "second", second, parts=tmp_path / "parts", reporter=diary).run()
    assert diary.parts == ["second", "measuring"]
    assert not (tmp_path / "second" / "features").exists()
    assert diary.beginnings == [(12, 0)]


def stopped(tree: Path, folder: Path) -> None:
    diary = Diary(stop_after=6, unit="lists")
    with pytest.raises(StoppedError):
        made(tree, folder, reporter=diary).run()


@pytest.mark.slow
def test_a_run_is_not_resumed_by_accident_or_after_its_end(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped(tree, folder)
    with pytest.raises(ResumeError, match="holds a run; add --resume"):
        made(tree, folder).run()
    made(tree, folder).run(resume=True)
    with pytest.raises(ResumeError, match="the run in it is finished"):
        made(tree, folder).run(resume=True)


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest, and the folder of a run that was stopped after its sixth step."""
    folder = tmp_path_factory.mktemp("stopped")
    tree = write_tree(folder)
    diary = Diary(stop_after=6, unit="lists")
    first = embedder(batch={"vehicles": 2})
    with pytest.raises(StoppedError):
        made(tree, folder / "run", config(training={"batch": 2}), first=first, reporter=diary).run()
    return tree, folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"training": {"beta": 0.5}}, ResumeError, r"reranker\.training\.beta: now 0\.5, then 0\.1"),
        ({"seed": 3}, ResumeError, r"reranker\.seed: now 3, then 0"),
        ({"shape": {"fusion": 1.0}}, ResumeError, r"reranker\.shape\.fusion: now 1\.0, then 0\.0"),
        ({"lists": {"folds": 4}}, ResumeError, r"data\.images: now"),
        ({"lists": {"precision": "bf16"}}, FeatureStoreError, "was made by another embedder or data"),
    ],
)
def test_other_settings_are_refused(
    stopped_run: tuple[Path, Path],
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    tree, run = stopped_run
    shutil.copytree(run, tmp_path / "run")
    changed = config(**merged({"training": {"batch": 2}}, changes))
    with pytest.raises(error, match=message):
        made(tree, tmp_path / "run", changed, first=embedder(batch={"vehicles": 2})).run(resume=True)


def finished_embedder(tree: Path, folder: Path, chosen: ExperimentConfig) -> None:
    Experiment(chosen, Sources(tree, None, "an earlier command"), folder, Reporter()).run()


@pytest.mark.slow
def test_a_finished_embedder_run_is_the_first_stage(tree: Path, tmp_path: Path) -> None:
    first = embedder(bundle={"export": False})
    given = tmp_path / "given"
    finished_embedder(tree, given, first)
    before = {path: path.read_bytes() for path in given.rglob("*") if path.is_file()}
    metrics = made(tree, tmp_path / "run", first=first, given=given).run()
    assert metrics["manifest"]["training"]["commands"] == ["an earlier command", "the command"]
    own = made(tree, tmp_path / "own", first=first).run()
    assert own["manifest"]["training"]["commands"] == ["the command"]
    assert without_times(metrics) == without_times(own)
    assert {path: path.read_bytes() for path in given.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "run" / "embedder").exists()


@pytest.mark.slow
def test_an_embedder_of_other_data_or_an_unfinished_one_is_refused(tree: Path, tmp_path: Path) -> None:
    first = embedder(bundle={"export": False})
    given = tmp_path / "given"
    with pytest.raises(ResumeError, match="holds no finished embedder run"):
        made(tree, tmp_path / "a", first=first, given=given).run()
    finished_embedder(tree, given, first)
    other = tree.with_name("fewer.csv")
    other.write_text("\n".join(tree.read_text(encoding="utf-8").splitlines()[:-2]) + "\n", encoding="utf-8")
    with pytest.raises(ResumeError, match=r"data\.sha256"):
        made(other, tmp_path / "b", first=first, given=given).run()


def test_an_embedder_without_strips_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gives none; train it with network\.strips=4"):
        made(tree, tmp_path / "run", first=embedder(network={"strips": 0}))


def test_too_few_lists_for_a_step_say_what_to_lower(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a step takes 100; lower training\.batch"):
        made(tree, tmp_path / "run", config(training={"batch": 100})).run()
    with pytest.raises(DatasetError, match=r"a list holds 30; lower lists\.candidates to 4"):
        made(tree, tmp_path / "run", config(lists={"candidates": 30})).run(resume=True)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_names_its_batch(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    lists_of(made(tree, folder))
    for path in (folder / "features").glob("fold-*/view-0/strips.npy"):
        strips = np.load(path)
        np.save(path, np.full_like(strips, np.nan))
    with pytest.raises(FloatingPointError, match=r"loss is nan in step 1; the batch was:\n.*v\d+_c"):
        made(tree, folder).run()


@pytest.mark.slow
def test_the_measured_vehicles_choose_only_where_that_is_said(tree: Path, tmp_path: Path) -> None:
    chosen = config(checkpoint={"by": "measured"}, training={"steps": 4})
    metrics = made(tree, tmp_path / "run", chosen).run()
    assert "optimistic" in metrics["checkpoint"]["note"]
    assert metrics["lists"]["validation"]["vehicles"] == 2
