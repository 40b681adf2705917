from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.bundle import Bundle
from models.network import PLAIN, LKAReID, NetworkConfig
from models.reranker import RerankerConfig
from tests.training.small import Diary, assert_same_weights
from tests.training.test_default_recipe import shrunk
from training.checkpoints.resume import SnapshotError
from training.config.embedder import ExperimentConfig
from training.config.reranker import HeadTraining, RerankerExperimentConfig, RerankerTraining
from training.embedder.experiment import Sources as ExperimentSources
from training.pipeline import Run, Sources
from training.recipe import Recipe
from training.reporting.terminal import SilentReporter
from training.reranker.experiment import RerankerExperiment
from training.reranker.lists import make_lists
from training.shipment import ship
from training.signals import InterruptedRunError

SHAPE: dict[str, Any] = {"width": 8, "depth": (1, 1, 1, 1), "image_size": (64, 64)}
DEFAULT = Recipe()
RECIPE = replace(
    DEFAULT,
    validation_vehicles=2,
    views=1,
    network=replace(DEFAULT.network, strips=2, strip_width=16, **SHAPE),
    embedder=shrunk(DEFAULT.embedder, device="cpu"),
    head=HeadTraining(steps=5, vehicles=4, views=1),
    shape=RerankerConfig(strip_width=16, heads=4),
    reranker=RerankerTraining(candidates=4, steps=10, check_every=5, batch=2),
    plain=replace(DEFAULT.plain, **SHAPE),
    plain_training=shrunk(DEFAULT.plain_training, device="cpu"),
)


class Stopping(SilentReporter):
    """Notes the parts; asks to stop after a step of the first training."""

    def __init__(self, after: int = 0) -> None:
        self.diary = Diary(stop_after=after)
        self.parts: list[str] = []

    def part(self, name: str) -> None:
        self.parts.append(name)

    def step(self, progress: Any) -> None:
        self.diary.step(progress)


@pytest.fixture
def sources(tree: Path, tmp_path: Path) -> Sources:
    torch.manual_seed(0)
    plain = LKAReID(NetworkConfig(PLAIN, ibn=False, **SHAPE))
    state = {
        key.replace("branches.0.", "layer4.").removeprefix("trunk."): value
        for key, value in plain.state_dict().items()
        if not key.startswith("heads.")
    }
    save_file(state, tmp_path / "weights.safetensors")
    return Sources(tree, tmp_path / "weights.safetensors")


def test_the_default_bundles_run_goes_on_in_the_middle_of_an_embedder(
    sources: Sources, tmp_path: Path
) -> None:
    straight = Run(tmp_path / "a", RECIPE, sources, Stopping())
    stopping = Stopping(after=3)
    with pytest.raises(InterruptedRunError):
        Run(tmp_path / "b", RECIPE, sources, stopping, stopping.diary.interruption).embedder  # noqa: B018
    again = Run(tmp_path / "b", RECIPE, sources, Stopping())
    assert_same_weights(again.embedder, straight.embedder)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        "embedder-head.json",
        "embedder-head.safetensors",
        "embedder.json",
        "embedder.safetensors",
    ]


def test_a_head_trained_afterwards_changes_the_strips_and_no_descriptor(
    sources: Sources, tmp_path: Path
) -> None:
    with_it = Run(tmp_path / "a", RECIPE, sources, Stopping()).embedder.eval()
    without = Run(tmp_path / "b", replace(RECIPE, head=None), sources, Stopping()).embedder.eval()
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        descriptors, strips = with_it(pictures)
        expected, others = without(pictures)
    assert torch.equal(descriptors, expected)
    assert not torch.allclose(strips, others, atol=1e-2)


def test_parts_are_made_once_on_any_machine_and_refused_under_other_settings(
    sources: Sources, tmp_path: Path
) -> None:
    first = Run(tmp_path / "a", RECIPE, sources, Stopping()).reranker
    later = Stopping()
    second = Run(tmp_path / "a", RECIPE, sources, later).reranker
    assert later.parts == []
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    elsewhere = replace(RECIPE, embedder=shrunk(DEFAULT.embedder, device="cpu", precision="fp32", workers=3))
    third = Run(tmp_path / "a", elsewhere, sources, later).reranker
    assert later.parts == []
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), third.parameters(), strict=True))
    other = replace(RECIPE, embedder=RECIPE.embedder.model_copy(update={"average": 0.9}))
    with pytest.raises(SnapshotError, match="was made with other settings"):
        Run(tmp_path / "a", other, sources, Stopping()).reranker  # noqa: B018


@pytest.mark.slow
def test_a_shipped_run_says_how_good_it_is_beside_its_rivals_and_how_it_was_made(
    sources: Sources, tmp_path: Path
) -> None:
    run = Run(tmp_path / "a", RECIPE, sources, Stopping())
    parity = ship(run, tmp_path / "bundle", "small", "fp32", ["make it"])
    assert parity.cosine > 0.9999
    manifest = Bundle.load(tmp_path / "bundle").manifest
    assert manifest.accuracy is not None
    assert [row.name for row in manifest.accuracy.rows] == [
        "ResNet-50, ImageNet only, 256 px",
        "ResNet-50, fine-tuned, 160 px",
        "first stage",
        "both stages",
    ]
    assert manifest.accuracy.rows[-1].queries == len(run.split.validation)
    assert manifest.training is not None
    assert manifest.training.commands == ("make it",)
    learned = {image.vehicle_id for image in run.split.train}
    assert len(manifest.training.held_out_vehicles) == RECIPE.validation_vehicles
    assert learned.isdisjoint(manifest.training.held_out_vehicles)


def test_the_reranker_experiment_learns_from_the_default_bundles_lists(
    sources: Sources, tmp_path: Path
) -> None:
    embedder = ExperimentConfig.model_validate(
        {
            **RECIPE.embedder.model_dump(),
            "data": {"layout": "manifest", "validation_vehicles": RECIPE.validation_vehicles},
            "network": RECIPE.network.to_dict(),
            "weights": {"layout": "resnet50-v1"},
        }
    )
    config = RerankerExperimentConfig.model_validate(
        {
            "lists": {"views": RECIPE.views, "candidates": RECIPE.reranker.candidates, "precision": "bf16"},
            "training": {"batch": RECIPE.reranker.batch},
            "checkpoint": {"by": "folds"},
            "run": {"device": "cpu", "batch": 32},
        }
    )
    given = ExperimentSources(sources.manifest, sources.imagenet)
    run = RerankerExperiment(config, embedder, given, tmp_path / "experiment", Stopping())
    found = make_lists(run.parts, run.roles, None, config.lists, config.training.batch).folds
    expected = Run(tmp_path / "bundle", replace(RECIPE, head=None), sources, Stopping()).folds
    for views, wanted in zip(found, expected, strict=True):
        for view, other in zip(views, wanted, strict=True):
            np.testing.assert_array_equal(view.features.descriptors, other.features.descriptors)
            np.testing.assert_array_equal(view.lists.candidates, other.lists.candidates)
            np.testing.assert_array_equal(view.lists.probes, other.lists.probes)
            assert view.features.strips is not None
            assert other.features.strips is not None
            # Kept on disk as galleries keep them: in float16.
            np.testing.assert_allclose(view.features.strips, other.features.strips, atol=1e-3)
