"""The second stage's study: nothing sees a cell's test vehicles, and every outcome is made once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.inputspec import InputSpec
from models.reranker import RerankerConfig
from tests.training.small import Diary, experiment, small_network
from training.checkpoints.resume import ResumeError
from training.config.files import ConfigError
from training.config.reranker import HeadTraining, RerankerTraining
from training.datasets.folds import Part, identity_folds
from training.datasets.image import VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.evaluation.cross_camera import cross_camera, pooled
from training.features.bands import Bands, extract_bands, load_bands, save_bands
from training.reranker.strip_head import StripChoice, tokens, train_head
from training.studies.cells import CellMaker
from training.studies.second_stage import SecondStageStudy, line, markdown
from training.studies.variants import OURS, VARIANTS, Variant, select

TINY = RerankerTraining(candidates=3, batch=2, steps=2, check_every=1)
SHAPE = RerankerConfig(strip_width=16, heads=2, fusion=1.0)


def maker(folder: Path, reporter: Diary, **changes: Any) -> CellMaker:
    config = experiment(
        network={"strips": 2, "strip_width": 16}, schedule={"epochs": 1, "warm_up": 0, "freeze": 0}, **changes
    )
    config = config.model_copy(update={"batch": config.batch.model_copy(update={"vehicles": 2})})
    return CellMaker(config, None, folder, reporter, {"data": "tree"}, views=1)


@pytest.fixture
def images(tree: Path) -> list[VehicleImage]:
    return read_manifest(tree)


@pytest.fixture
def part(images: list[VehicleImage]) -> Part:
    return next(identity_folds(images, 3))


def bands(images: list[VehicleImage], seed: int = 0) -> Bands:
    source = torch.Generator().manual_seed(seed)
    count = len(images)
    descriptors = torch.nn.functional.normalize(torch.randn(count, 8, generator=source), dim=1)
    rows = torch.randn(count, 4, 6, 48, generator=source).half()
    return Bands(images, descriptors, rows, rows.flip(2), None, ("lka", "lka", "hca", "hca"))


def test_a_cells_test_vehicles_are_seen_by_no_embedder_of_it(tmp_path: Path, part: Part) -> None:
    cell = maker(tmp_path, Diary()).bands(part, 0)
    test = {image.vehicle_id for image in cell.test.images}
    for half in cell.inner:
        unseen = {image.vehicle_id for image in half.unseen[0].images}
        seen = {image.vehicle_id for image in half.seen[0].images}
        assert not test & (unseen | seen)
        assert not unseen & seen
    for note in tmp_path.glob("*/*.json"):
        settings = json.loads(note.read_text(encoding="utf-8"))["settings"]
        assert not test & set(settings["vehicles"])
    learned = json.loads((tmp_path / "seed0-fold0" / "inner0.json").read_text(encoding="utf-8"))["settings"]
    assert set(learned["vehicles"]) == {image.vehicle_id for image in cell.inner[0].seen[0].images}


@pytest.mark.slow
def test_a_cell_is_made_once_and_refused_when_made_otherwise(tmp_path: Path, part: Part) -> None:
    first, again = Diary(), Diary()
    made = maker(tmp_path, first).bands(part, 0)
    read = maker(tmp_path, again).bands(part, 0)
    assert len(first.parts) == 3
    assert again.parts == []
    assert torch.equal(made.test.descriptors, read.test.descriptors)
    other = maker(tmp_path, Diary())
    other.views = 2
    with pytest.raises(ResumeError, match="views"):
        other.bands(part, 0)


def test_bands_averaged_again_are_the_networks_own_strips(images: list[VehicleImage]) -> None:
    network = small_network().eval()
    found = extract_bands(network, images[:3], InputSpec(height=32, width=32))
    with torch.inference_mode():
        choice = StripChoice(rows=2, columns=1)
        cut = choice.bands(found)
    assert [tuple(each.shape) for each in cut] == [(3, 3, network.config.features)] * 4
    for branch, each in enumerate(cut):
        mean = found.rows[:, branch].float().mean(dim=1)
        torch.testing.assert_close(each[:, :2].mean(dim=1), mean, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(each[:, 2], mean, rtol=1e-2, atol=1e-2)


def test_saved_bands_come_back(tmp_path: Path, images: list[VehicleImage]) -> None:
    views = [bands(images, seed) for seed in range(2)]
    save_bands(tmp_path / "x.safetensors", views)
    read = load_bands(tmp_path / "x.safetensors", images)
    assert [torch.equal(a.rows, b.rows) for a, b in zip(views, read, strict=True)] == [True, True]
    assert read[0].joint is None
    assert read[0].mixers == views[0].mixers


def test_strips_are_cut_from_the_branches_of_a_mixer_wherever_they_stand(images: list[VehicleImage]) -> None:
    found = replace(bands(images), mixers=("hca", "lka", "hca", "lka"))
    cut = StripChoice(rows=6, mixers=("lka",)).bands(found)
    for each, branch in zip(cut, (1, 3), strict=True):
        torch.testing.assert_close(each, found.rows[:, branch].float())
    with pytest.raises(ValueError, match="no branch has the mixer mhsa; there are hca, lka, hca, lka"):
        StripChoice(mixers=("mhsa",)).bands(found)


def test_a_head_brings_the_images_of_a_vehicle_together(images: list[VehicleImage]) -> None:
    views = [bands(images)]
    choice = StripChoice(rows=2, width=16)
    before = train_head(choice, views, HeadTraining(steps=1, learning_rate=1e-9))
    after = train_head(choice, views, HeadTraining(steps=60))

    def gap(head: Any) -> float:
        cut = tokens(head, choice, views[0]).flatten(1)
        alike = cut @ cut.T
        own = np.array([[a.vehicle_id == b.vehicle_id for b in images] for a in images])
        np.fill_diagonal(own, False)
        return float(alike.numpy()[own].mean() - alike.numpy()[~own].mean())

    assert gap(after) > gap(before) + 0.5
    lengths = tokens(after, choice, views[0]).norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_without_cameras_every_image_queries_all_others(images: list[VehicleImage]) -> None:
    unknown = [replace(image, camera_id="") for image in images]
    found = bands(unknown)
    features = found.features(torch.zeros(len(unknown), 2, 4))
    (only,) = cross_camera(features)
    assert only.positions.shape == (len(unknown), len(unknown) - 1)
    assert (only.positions != np.arange(len(unknown))[:, None]).all()
    assert len(pooled([only]).answerable().queries) == len(unknown)


@pytest.mark.slow
def test_a_study_measures_each_variant_once_and_goes_on(tmp_path: Path, images: list[VehicleImage]) -> None:
    ours = replace(OURS, strips=None, shape=SHAPE, training=TINY, fusions=(0.0, 1.0))
    other = Variant("cut", StripChoice(rows=2, width=16), SHAPE, TINY, (1.0,))
    leaks = replace(ours, name="own", mining="own", group="mining")
    parts = list(identity_folds(images, 3))[:2]

    def study(reporter: Diary) -> list[dict[str, Any]]:
        work = SecondStageStudy(maker(tmp_path, reporter), parts, tmp_path, reporter)
        return work.run([ours, other, leaks], 1, 2)

    first = study(Diary())
    again = Diary()
    assert study(again) == first
    assert again.parts == []
    assert len(first) == 2 * 3
    for outcome in first:
        assert len(outcome["ranks_first"]) == len(outcome["ranks_both"]) == outcome["first"]["queries"]
        assert outcome["choice"]["fusion"] in (0.0, 1.0)
    table = markdown(first, ["a note"])
    assert "first stage alone" in table
    assert "| cut |" in table


def outcome(fold: int, seed: int, before: list[int], after: list[int], cell_seed: int = 0) -> dict[str, Any]:
    def figures(ranks: list[int]) -> dict[str, float]:
        return {name: 100 * float(np.mean(np.array(ranks) == 1)) for name in ("mAP", "R1", "R5")}

    return {
        "variant": "v",
        "group": "ours",
        "cell_seed": cell_seed,
        "fold": fold,
        "seed": seed,
        "first": figures(before),
        "both": figures(after),
        "ranks_first": before,
        "ranks_both": after,
        "mistaken": 0.5,
        "choice": {"fusion": 1.0, "reciprocal_ranks": {"0.0": 60.0, "1.0": 64.0}, "first_stage": 61.0},
    }


def test_a_lines_spread_is_that_of_the_cells_gains() -> None:
    made = line([outcome(0, 0, [1, 2, 2, 2], [1, 1, 2, 2]), outcome(1, 0, [1, 2, 2, 1], [1, 1, 1, 2])])
    assert made["gain R1"] == pytest.approx(25.0)
    assert made["gain R1 over cells"] == pytest.approx(0.0)
    assert (made["won"], made["lost"]) == (3, 1)
    assert made["gain R1 over seeds"] is None
    assert made["gain within"] == pytest.approx(3.0)


def test_embedders_that_share_their_queries_are_tested_each_for_itself() -> None:
    gains, loses = ([2] * 8, [1] * 8), ([1] * 8, [1] * 7 + [2])
    found = [outcome(0, 0, *gains), outcome(0, 0, *loses, cell_seed=1)]
    made = line(found)
    assert (made["won"], made["lost"]) == (8, 1)
    assert made["p"] == pytest.approx(1.0)
    assert made["gain R1 over embedders"] == pytest.approx(np.std([100.0, -12.5], ddof=1))
    table = markdown(found, ["a note"])
    assert "| v | " in table
    assert "- ours over the embedders' seeds: mAP +43.75 ± 79.55, R1 +43.75 ± 79.55" in table


def test_variants_are_chosen_by_group_and_by_part_of_their_name() -> None:
    assert select(["strips", "re-ranker", "selection", "mining"], []) == list(VARIANTS)
    assert select([], []) == [OURS]
    found = [variant.name for variant in select(["strips"], ["6 hori", "beside"])]
    assert found == [OURS.name, "head trained beside the embedder", "6 horizontal"]
    with pytest.raises(
        ConfigError, match=r"no variant has '9 horizontal' in its name; there are:\n  head tr"
    ):
        select(["strips"], ["9 horizontal"])
