from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.manifest import hash_file
from models.network import LKAReID
from models.shape import PLAIN, NetworkConfig
from models.trunk import IBN
from training.checkpoints.pretrained import Layout, load_imagenet
from training.checkpoints.weights import WeightsError

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


@pytest.mark.slow
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


def ibn_state() -> dict[str, Tensor]:
    """In IBN-Net's key names: ResNet-50-IBN-a has its IBN norms in stages 1-3."""
    torch.manual_seed(1)
    network = LKAReID(NetworkConfig(PLAIN, width=8, depth=(1, 1, 1, 1), ibn=True, image_size=(64, 64)))
    names = {"trunk.": "", "branches.0.": "layer4."}
    state = {
        key.replace(own, theirs, 1): torch.rand_like(value) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
        for own, theirs in names.items()
        if key.startswith(own)
    }
    return state | {"fc.weight": torch.zeros(3, 256), "fc.bias": torch.zeros(3)}


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "state_dict and module."])
def test_ibn_nets_published_layout_is_taken_key_by_key(tmp_path: Path, wrapped: bool) -> None:
    state = ibn_state()
    path = tmp_path / "resnet50_ibn_a.pth"
    kept: dict[str, object] = dict(state)
    if wrapped:
        kept = {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}
    torch.save(kept, path)
    network = LKAReID(FOUR)
    load_imagenet(network, path, layout="resnet50-ibn-a", sha256=hash_file(path)[:8])
    own = network.state_dict()
    for name in ("IN.weight", "IN.bias", "BN.weight", "BN.running_var"):
        torch.testing.assert_close(own[f"trunk.layer2.0.bn1.{name}"], state[f"layer2.0.bn1.{name}"])


def test_files_of_before_batches_were_counted_are_taken(published: tuple[Path, dict[str, Tensor]]) -> None:
    path, state = published
    save_file({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    load_imagenet(LKAReID(FOUR), path)


def test_what_may_be_left_out_is_an_explicit_list(published: tuple[Path, dict[str, Tensor]]) -> None:
    path, _ = published
    with pytest.raises(WeightsError, match=r"left over fc\.bias; left over fc\.weight"):
        load_imagenet(LKAReID(FOUR), path, left_out=())
    load_imagenet(LKAReID(FOUR), path, left_out=("fc.*",))


@pytest.mark.parametrize(
    ("layout", "shape", "message"),
    [
        ("resnet50-ibn-a", {}, "its norms are plain, which is not resnet50-ibn-a"),
        ("resnet50-v1", {}, r"layout resnet50-v1 need network\.v1: true"),
        ("resnet50", {"v1": True}, r"layout resnet50 need network\.v1: false"),
    ],
)
def test_a_layout_that_is_not_the_networks_is_refused(
    published: tuple[Path, dict[str, Tensor]], layout: Layout, shape: dict[str, bool], message: str
) -> None:
    path, _ = published
    with pytest.raises(WeightsError, match=message):
        load_imagenet(LKAReID(NetworkConfig(**{**FOUR.__dict__, **shape})), path, layout=layout)


def test_ibn_weights_are_refused_by_a_network_without_ibn(tmp_path: Path) -> None:
    path = tmp_path / "ibn.safetensors"
    save_file(ibn_state(), path)
    plain = NetworkConfig(**{**FOUR.__dict__, "ibn": False})
    with pytest.raises(WeightsError, match=r"set network\.ibn: true"):
        load_imagenet(LKAReID(plain), path, layout="resnet50-ibn-a")
    with pytest.raises(
        WeightsError, match=r"missing layer1\.0\.bn1\.weight.*left over layer1\.0\.bn1\.BN\.bias"
    ):
        load_imagenet(LKAReID(plain), path)


def test_another_file_than_the_expected_one_is_refused(published: tuple[Path, dict[str, Tensor]]) -> None:
    path, _ = published
    with pytest.raises(WeightsError, match=r"its SHA-256 is .*, not 00000000"):
        load_imagenet(LKAReID(FOUR), path, sha256="00000000")
    with pytest.raises(WeightsError, match="no such file"):
        load_imagenet(LKAReID(FOUR), path.with_name("other.safetensors"))


class Harmful:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("harm",)


def test_a_pickle_of_more_than_tensors_is_not_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": Harmful()}, path)
    with pytest.raises(WeightsError, match="holds no tensors that can be read safely"):
        load_imagenet(LKAReID(FOUR), path)
    path.write_bytes(b"not a file of torch")
    with pytest.raises(WeightsError, match="holds no tensors that can be read safely"):
        load_imagenet(LKAReID(FOUR), path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(WeightsError, match="is no table of tensors by name"):
        load_imagenet(LKAReID(FOUR), path)
    assert "harm" not in capsys.readouterr().out


def test_a_variance_that_16_bits_could_not_hold_is_the_largest_that_they_can(
    published: tuple[Path, dict[str, Tensor]], tmp_path: Path
) -> None:
    _, state = published
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    half["bn1.running_var"][3] = float("inf")
    save_file(half, tmp_path / "half.safetensors")
    network = LKAReID(FOUR)
    load_imagenet(network, tmp_path / "half.safetensors", left_out=())
    found = network.trunk.get_buffer("bn1.running_var")
    assert found[3] == 65_504
    torch.testing.assert_close(found[:3], half["bn1.running_var"][:3].float())


@pytest.mark.parametrize("key", ["bn1.weight", "conv1.weight", "bn1.running_var"])
def test_numbers_that_are_not_finite_are_refused_by_name(
    published: tuple[Path, dict[str, Tensor]], tmp_path: Path, key: str
) -> None:
    _, state = published
    state[key].view(-1)[0] = float("nan") if key == "conv1.weight" else float("inf")
    save_file(state, tmp_path / "broken.safetensors")
    with pytest.raises(WeightsError, match=f"{key} holds numbers that are not finite"):
        load_imagenet(LKAReID(FOUR), tmp_path / "broken.safetensors", left_out=())
