from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.network import PLAIN, LKAReID, NetworkConfig
from models.trunk import IBN
from training.weights import WeightsError, load_imagenet

FOUR = NetworkConfig(width=8, depth=(1, 1, 1, 1), image_size=(64, 64), strips=2, strip_width=8)


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """A small network in torchvision's key names, with a classifier as published weights have one."""
    torch.manual_seed(0)
    plain = LKAReID(NetworkConfig(PLAIN, width=8, depth=(1, 1, 1, 1), ibn=False, image_size=(64, 64)))
    state = {k.removeprefix("trunk."): v for k, v in plain.state_dict().items() if k.startswith("trunk.")}
    state |= {
        k.replace("branches.0.", "layer4."): v
        for k, v in plain.state_dict().items()
        if k.startswith("branches.")
    }
    state = {k: torch.rand_like(v) if v.is_floating_point() else v for k, v in state.items()}
    path = tmp_path / "weights.safetensors"
    save_file(state | {"fc.weight": torch.zeros(3, 256), "fc.bias": torch.zeros(3)}, path)
    return path, state


def test_the_trunk_and_every_branch_start_from_the_published_weights(
    published: tuple[Path, dict[str, Tensor]],
) -> None:
    path, state = published
    network = LKAReID(FOUR)
    load_imagenet(network, path)
    torch.testing.assert_close(
        network.trunk.get_parameter("layer2.0.conv2.weight"), state["layer2.0.conv2.weight"]
    )
    for branch in network.branches:
        torch.testing.assert_close(branch.get_parameter("0.conv3.weight"), state["layer4.0.conv3.weight"])


def test_ibn_takes_the_affine_parameters_channel_for_channel_in_both_halves(
    published: tuple[Path, dict[str, Tensor]],
) -> None:
    path, state = published
    network = LKAReID(FOUR)
    load_imagenet(network, path)
    norm = network.trunk.get_submodule("layer1.0.bn1")
    assert isinstance(norm, IBN)
    torch.testing.assert_close(
        torch.cat((norm.IN.weight, norm.BN.weight)).detach(), state["layer1.0.bn1.weight"]
    )
    running = norm.BN.running_mean
    assert running is not None
    torch.testing.assert_close(running, state["layer1.0.bn1.running_mean"][4:])


def test_a_conv_branch_takes_stage_4_whole(published: tuple[Path, dict[str, Tensor]]) -> None:
    path, state = published
    network = LKAReID(NetworkConfig(PLAIN, width=8, depth=(1, 1, 1, 1), ibn=False, image_size=(64, 64)))
    load_imagenet(network, path)
    mixer = network.branches[0].get_submodule("0.conv2")
    assert isinstance(mixer, nn.Conv2d)
    torch.testing.assert_close(mixer.weight.detach(), state["layer4.0.conv2.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), "missing layer1.0.conv1.weight"),
        (lambda s: s.update({"layer9.weight": torch.zeros(1)}), "left over layer9.weight"),
        (lambda s: s.update({"conv1.weight": torch.zeros(2, 3, 7, 7)}), r"conv1.weight is \(2, 3, 7, 7\)"),
    ],
    ids=["missing", "left over", "shape"],
)
def test_weights_that_do_not_fit_are_listed(
    published: tuple[Path, dict[str, Tensor]], change: object, message: str
) -> None:
    path, state = published
    assert callable(change)
    change(state)
    save_file(state, path)
    with pytest.raises(WeightsError, match=message):
        load_imagenet(LKAReID(FOUR), path)


def test_a_bottleneck_without_a_published_mixer_starts_as_its_shortcut_and_a_constant(
    published: tuple[Path, dict[str, Tensor]],
) -> None:
    path, _ = published
    network = LKAReID(FOUR).eval()
    load_imagenet(network, path)
    shared = torch.rand(1, 128, 4, 4)
    for branch in network.branches:
        shortcut = branch.get_submodule("0.downsample")
        constant = branch.get_parameter("0.bn3.bias").view(-1, 1, 1)
        torch.testing.assert_close(branch(shared), torch.relu(shortcut(shared) + constant))
