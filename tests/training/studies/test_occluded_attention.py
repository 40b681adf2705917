"""How much branches look at what hides a vehicle, and at the same place before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.inputspec import InputSpec
from models.network import LKAReID
from models.shape import Branch, NetworkConfig
from training.checkpoints.weights import WeightsError, save_embedder
from training.datasets.image import VehicleImage
from training.datasets.layouts import open_dataset
from training.evaluation.assessment import SILENT
from training.evaluation.looks import looks, share_within
from training.evaluation.shift.degradations import OCCLUSIONS, degraded, hidden_box
from training.studies.occluded_attention import Outcome, What, lines, measure, tables

SPEC = InputSpec(height=64, width=64)


def saved(small: NetworkConfig, path: Path, seed: int, *mixers: str) -> Path:
    torch.manual_seed(seed)
    save_embedder(path, LKAReID(replace(small, branches=tuple(Branch(name, "triplet") for name in mixers))))
    return path


def images(tree: Path, count: int) -> list[VehicleImage]:
    return open_dataset(tree).images()[:count]


def test_what_lies_on_the_covered_place_is_compared_with_the_same_place_uncovered(
    small: NetworkConfig, tree: Path, tmp_path: Path
) -> None:
    file = saved(small, tmp_path / "one.safetensors", 0, "hca", "dcs")
    outcomes = measure({"plain": [file]}, SPEC, images(tree, 4), SILENT)
    assert len(outcomes) == len(OCCLUSIONS) * 2 * 2
    torch.manual_seed(0)
    embedder = LKAReID(replace(small, branches=(Branch("hca", "triplet"), Branch("dcs", "triplet")))).eval()
    kind = "occlusion 60 %"
    boxes = np.array([hidden_box(kind, image.path.name) for image in images(tree, 4)])

    def change(image: Image.Image, name: str) -> Image.Image:
        return degraded(image, kind, name)

    hidden = share_within(looks(embedder, SPEC, images(tree, 4), change).attention, boxes).mean(axis=0)
    before = share_within(looks(embedder, SPEC, images(tree, 4)).attention, boxes).mean(axis=0)
    own = [o for o in outcomes if o.occlusion == kind and o.what == "attention"]
    assert [o.branch for o in own] == ["1 hca", "2 dcs"]
    np.testing.assert_allclose([o.hidden for o in own], hidden)
    np.testing.assert_allclose([o.before for o in own], before)
    assert own[0].even == pytest.approx(0.6)


def test_embedders_of_other_branches_make_no_common_table(
    small: NetworkConfig, tree: Path, tmp_path: Path
) -> None:
    one = saved(small, tmp_path / "one.safetensors", 0, "hca", "dcs")
    two = saved(small, tmp_path / "two.safetensors", 0, "hca")
    with pytest.raises(WeightsError, match=r"two\.safetensors: has the branches 1 hca, and the first"):
        measure({"a": [one], "b": [two]}, SPEC, images(tree, 1), SILENT)


def test_a_branch_without_attention_is_named_with_its_file(
    small: NetworkConfig, tree: Path, tmp_path: Path
) -> None:
    one = saved(small, tmp_path / "one.safetensors", 0, "conv")
    with pytest.raises(WeightsError, match=r"one\.safetensors: branch 1 has the mixer 'conv'"):
        measure({"a": [one]}, SPEC, images(tree, 1), SILENT)


def test_the_figure_has_the_first_embedder_of_each_kind_branch_by_branch(
    small: NetworkConfig, tree: Path, tmp_path: Path
) -> None:
    files = [saved(small, tmp_path / f"{seed}.safetensors", seed, "hca", "dcs") for seed in range(3)]
    (image,) = images(tree, 1)
    drawn = lines({"b": files[:2], "a": files[2:]}, SPEC, image)
    assert [line.name for line in drawn] == ["uncovered", *OCCLUSIONS]
    assert [line.box is None for line in drawn] == [True, False, False, False, False]
    assert list(drawn[0].maps) == [f"branch {b},\n{n}" for b in ("1 hca", "2 dcs") for n in ("b", "a")]
    alone = lines({"b": files[:1]}, SPEC, image)
    np.testing.assert_array_equal(drawn[2].maps["branch 2 dcs,\nb"], alone[2].maps["branch 2 dcs,\nb"])


def both(name: str, file: str, hidden: float, before: float) -> list[Outcome]:
    """Of attention and activation, which is ten points higher."""
    higher: dict[What, float] = {"attention": 0, "activation": 0.1}
    return [
        Outcome(name, file, "1 hca", what, "occlusion 20 %", hidden + more, before + more, 0.2)
        for what, more in higher.items()
    ]


def test_seeds_are_one_line_with_their_spread() -> None:
    found = tables(
        [*both("plain", "a", 0.10, 0.20), *both("plain", "b", 0.14, 0.20), *both("rib", "c", 0.3, 0.4)]
    )
    attention, activation = found
    assert attention.head == ("branch", "occlusion 20 %")
    assert attention.lines == (
        ("1 hca, plain", "12.0 ± 2.8 (20.0 ± 0.0)"),
        ("1 hca, rib", "30.0 (40.0)"),
        ("an even map", "20.0"),
    )
    assert activation.lines[1] == ("1 hca, rib", "40.0 (50.0)")
