from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from models.network import LKAReID, count_parameters
from models.shape import BASELINE, LKA_HCA, PLAIN, Branch, NetworkConfig, branches
from models.trunk import IBN

SMALL = NetworkConfig(width=4, depth=(1, 1, 1, 2), image_size=(64, 96), strips=2, strip_width=8)


@pytest.mark.parametrize(
    ("rows", "parameters"),
    [
        (BASELINE, 61_448_256),
        (branches("conv", "lka"), 61_577_280),
        (branches("hca", "mhsa"), 47_292_564),
        (LKA_HCA, 47_421_588),
    ],
    ids=["baseline", "+LKA", "+HCA", "both"],
)
def test_parameter_counts_of_table_2(rows: tuple[Branch, ...], parameters: int) -> None:
    with torch.device("meta"):
        network = LKAReID(NetworkConfig(branches=rows), identities=575)
    assert count_parameters(network) == parameters


def test_the_full_network_describes_an_image_by_8192_numbers_of_length_1() -> None:
    config = NetworkConfig()
    assert config.descriptor_dim == 8192
    assert config.map_size == (16, 16)


def test_width_and_depth_make_a_small_network_of_the_same_class() -> None:
    network = LKAReID(SMALL).eval()
    descriptor, strips = network(torch.randn(3, 3, 64, 96))
    assert descriptor.shape == (3, 4 * 32 * 4)
    torch.testing.assert_close(descriptor.norm(dim=1), torch.ones(3))
    assert strips.shape == (3, 8, 8)


def test_every_branch_keeps_the_resolution_of_stage_3() -> None:
    network = LKAReID(SMALL).eval()
    assert [tuple(m.shape) for m in network.maps(torch.randn(1, 3, 64, 96))] == [(1, 128, 4, 6)] * 4


def test_cross_entropy_branches_classify_and_triplet_branches_do_not() -> None:
    output = LKAReID(SMALL, identities=7).learn(torch.randn(2, 3, 64, 96))
    assert [None if logits is None else tuple(logits.shape) for logits in output.logits] == [
        (2, 7), None, (2, 7), None,
    ]  # fmt: skip


def test_only_mhsa_and_lka_shortcuts_have_a_bias() -> None:
    network = LKAReID(
        NetworkConfig(branches=tuple(Branch(m, "triplet") for m in ("conv", "mhsa", "lka", "hca")), width=4)
    )
    biased = []
    for branch in network.branches:
        shortcut = branch.get_submodule("0.downsample.0")
        assert isinstance(shortcut, nn.Conv2d)
        biased.append(shortcut.bias is not None)
    assert biased == [False, True, True, False]


def test_bnneck_bias_is_frozen_at_zero() -> None:
    network = LKAReID(SMALL, identities=5)
    for head in network.heads:
        bias = head.get_submodule("neck").get_parameter("bias")
        assert not bias.requires_grad
        assert not bias.any()


def test_ibn_stands_in_the_first_norm_of_every_bottleneck_of_stages_1_to_3() -> None:
    network = LKAReID(NetworkConfig(width=4))
    places = [name for name, module in network.named_modules() if isinstance(module, IBN)]
    assert len(places) == 3 + 4 + 6
    assert all(name.startswith("trunk.layer") and name.endswith(".bn1") for name in places)


def test_side_information_starts_at_zero_and_moves_the_descriptor_of_its_viewpoint_alone() -> None:
    torch.manual_seed(0)
    network = LKAReID(SMALL, viewpoints=6).eval()
    images = torch.randn(2, 3, 64, 96)
    plain, _ = network(images)
    zero, _ = network(images, torch.tensor([1, 4]))
    torch.testing.assert_close(zero, plain)
    assert network.side_information is not None
    with torch.no_grad():
        network.side_information[:, 4] += torch.randn(4, 128)
    moved, _ = network(images, torch.tensor([1, 4]))
    torch.testing.assert_close(moved[0], plain[0])
    assert not torch.allclose(moved[1], plain[1], atol=1e-3)


def test_a_viewpoint_without_side_information_is_an_error() -> None:
    with pytest.raises(ValueError, match="without side information"):
        LKAReID(SMALL)(torch.randn(1, 3, 64, 96), torch.tensor([0]))


def test_the_plain_resnet_is_one_branch_of_stride_2() -> None:
    config = NetworkConfig(PLAIN, ibn=False, v1=True, last_stride=2)
    assert config.descriptor_dim == 2048
    assert config.map_size == (8, 8)
    with torch.device("meta"):
        plain = LKAReID(config)
    # torchvision's ResNet-50 without its classifier, and the neck's scale and bias
    assert count_parameters(plain) == 25_557_032 - 2_049_000 + 2 * 2048


@pytest.mark.parametrize("size", [(250, 256), (0, 16)])
def test_an_image_size_that_does_not_divide_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        NetworkConfig(image_size=size)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown loss 'circle'; there are cross_entropy, ibb, triplet"):
        Branch("conv", "circle")


def test_a_configuration_survives_the_way_through_json() -> None:
    assert NetworkConfig.from_dict(SMALL.to_dict()) == SMALL


PARTS = replace(SMALL, strips=0, parts=(2, 3))


def test_parts_are_the_cells_of_the_trunks_map_column_by_column() -> None:
    network = LKAReID(PARTS).eval()
    head = network.strip_head
    assert head is not None
    shared = torch.zeros(1, network.trunk.channels, 4, 6)
    shared[:, :, :2, 4:] = 1.0  # the upper cell of the last of three columns
    (cells,) = head.pool([shared])
    assert cells.shape == (1, 6, network.trunk.channels)
    assert cells[0].mean(dim=1).tolist() == [0, 0, 0, 0, 1, 0]


def test_a_network_gives_parts_in_place_of_strips_and_the_same_descriptors() -> None:
    network = LKAReID(SMALL).eval()
    other = network.with_parts((2, 3), 5)
    images = torch.randn(3, 3, 64, 96)
    descriptor, parts = other(images)
    torch.testing.assert_close(descriptor, network(images)[0])
    assert parts.shape == (3, 6, 5)
    torch.testing.assert_close(parts.norm(dim=2), torch.ones(3, 6))
    assert other.config.tokens == 6
    assert NetworkConfig.from_dict(json.loads(json.dumps(other.config.to_dict()))) == other.config


def test_strips_and_parts_are_not_given_at_once() -> None:
    with pytest.raises(ValueError, match="not both"):
        replace(SMALL, parts=(2, 3))
