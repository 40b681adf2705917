"""Where branches look: maps of the mixers themselves, and the share of them in a box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.inputspec import InputSpec
from models.mixers import Attending
from models.network import LKAReID
from models.preprocessing import normalise
from models.shape import Branch, NetworkConfig
from models.trunk import Bottleneck
from training.datasets.layouts import open_dataset
from training.evaluation.descriptors import prepared_image
from training.evaluation.looks import NoAttentionError, looks, share_within

SPEC = InputSpec(height=64, width=64)


def network(small: NetworkConfig, *mixers: str) -> LKAReID:
    torch.manual_seed(0)
    return LKAReID(replace(small, branches=tuple(Branch(name, "triplet") for name in mixers))).eval()


def test_the_maps_are_those_of_the_last_mixers_and_of_what_is_pooled(
    small: NetworkConfig, tree: Path
) -> None:
    embedder = network(small, "dcs", "hca", "lka", "mhsa")
    images = open_dataset(tree).images()[:3]
    found = looks(embedder, SPEC, images)
    assert found.attention.shape == found.activation.shape == (3, 4, 4, 4)
    pixels = normalise(np.stack([prepared_image(SPEC, image) for image in images]), SPEC)
    with torch.inference_mode():
        shared = embedder.trunk(torch.from_numpy(pixels))
        for number, branch in enumerate(embedder.branches):
            last = next(module for module in branch.modules() if isinstance(module, Bottleneck))
            assert isinstance(last.conv2, Attending)
            own = last.conv2.attention_map(last.relu(last.bn1(last.conv1(shared)))).double()
            pooled = branch(shared).mean(dim=1).double()
            for maps, expected in ((found.attention, own), (found.activation, pooled)):
                even = expected / expected.sum(dim=(1, 2), keepdim=True)
                np.testing.assert_allclose(maps[:, number], even.numpy(), rtol=1e-6)
    assert not any(module._forward_pre_hooks for module in embedder.modules())


@pytest.mark.parametrize("mixer", ["conv", "lkca"])
def test_a_branch_without_attention_of_its_own_is_refused_by_its_number(
    small: NetworkConfig, tree: Path, mixer: str
) -> None:
    with pytest.raises(NoAttentionError, match=f"branch 2 has the mixer '{mixer}'"):
        looks(network(small, "dcs", mixer), SPEC, open_dataset(tree).images())


def test_an_even_map_has_the_share_of_a_box_that_the_box_has_of_the_image() -> None:
    boxes = np.array([[0.1, 0.2, 0.35, 0.9], [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]])
    even = np.full((3, 1, 4, 5), 1 / 20)
    np.testing.assert_allclose(share_within(even, boxes)[:, 0], [0.25 * 0.7, 1, 0], atol=1e-12)


def test_a_place_counts_by_how_much_of_it_lies_in_the_box() -> None:
    corner = np.zeros((1, 2, 2, 4))
    corner[0, 0, 1, 3] = 1  # the lower right quarter of the height, eighth of the width
    corner[0, 1, 0, 0] = 1
    within = share_within(corner, np.array([[0.875, 0.25, 1.0, 0.75]]))
    np.testing.assert_allclose(within, [[0.25, 0.0]])
