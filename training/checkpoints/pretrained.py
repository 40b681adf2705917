"""Published weights, loaded strictly: a key too many or too few is an error that lists it."""

from __future__ import annotations

import fnmatch
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.manifest import hash_file
from models.mixers import MIXERS, Mixer
from models.network import LKAReID
from training.checkpoints.weights import WeightsError

Layout = Literal["resnet50", "resnet50-v1", "resnet50-ibn-a"]
CLASSIFIER = ("fc.weight", "fc.bias")
# Files of before torch 0.4.1 have no such counts; nothing reads them here.
COUNTS = "*num_batches_tracked"


def load_imagenet(
    network: LKAReID,
    path: Path,
    *,
    layout: Layout | None = None,
    sha256: str | None = None,
    left_out: Sequence[str] = CLASSIFIER,
) -> None:
    """Start a network from published ResNet-50 weights, in torchvision's or IBN-Net's key names.

    Stages 1-3 go to the trunk. Where that has IBN and the weights are plain, the affine parameters and
    statistics of a norm are copied channel for channel into both halves. Stage 4 goes to every branch, its
    3x3 convolutions only to mixers that are one (`Mixer.pretrained`): other mixers, necks, classifiers and
    strips keep their own initialisation. A bottleneck whose mixer has no published weights starts as its
    shortcut and a constant (the scale of its last norm is zero): what its last convolution learned belongs
    behind another mixer.

    Args:
        network: gets them.
        path: safetensors, or a file of torch.save that holds tensors alone.
        layout: what the file must hold, and the network must be made for: `resnet50` (torchvision, stride
            on the 3x3), `resnet50-v1` (stride on the first 1x1) or `resnet50-ibn-a` (IBN-Net); None takes
            any and cannot tell the first two apart.
        sha256: of the file, or the first digits of it (at least 8), to be checked.
        left_out: patterns of the file's keys that are not wanted: its classifier.

    Raises:
        WeightsError: no such file, another hash or layout; a key of the trunk or of stage 4 is missing, has
            another shape, or is left over; a number is not finite.
    """
    if network.config.vit is not None:
        raise WeightsError(f"{path}: is of a residual network, and network.vit is none; leave --weights out")
    state = _finite(path, read_weights(path, sha256))
    _check_layout(network, path, state, layout)
    source = {
        key: value.float() if value.is_floating_point() else value
        for key, value in state.items()
        if not any(fnmatch.fnmatchcase(key, pattern) for pattern in left_out)
    }
    plain = not any(".IN." in key for key in source)
    wanted: dict[str, Tensor] = {}
    used: set[str] = set()
    problems: list[str] = []
    own = network.state_dict()
    for key, value in own.items():
        name = _source_key(key)
        if name is None:
            continue
        half = None
        for part, first in ((".IN.", True), (".BN.", False)):
            if part in name and plain:
                name, half = name.replace(part, "."), first
        if key.startswith("branches.") and ".conv2." in key and not _mixer(network, key).pretrained:
            continue
        if key.startswith("branches.") and (
            key.endswith("downsample.0.bias") or _starts_silent(network, key)
        ):
            wanted[key] = torch.zeros_like(value)
            used.add(name)
            continue
        if name not in source:
            if not fnmatch.fnmatchcase(name, COUNTS):
                problems.append(f"missing {name}")
            continue
        used.add(name)
        tensor = source[name]
        if half is not None and tensor.ndim:
            middle = len(tensor) // 2
            tensor = tensor[:middle] if half else tensor[middle:]
        if tensor.shape != value.shape:
            problems.append(f"{name} is {tuple(tensor.shape)}, {key} needs {tuple(value.shape)}")
            continue
        wanted[key] = tensor.to(value.dtype)
    unused = {key for key in source if key not in used and not _may_be_unused(network, key)}
    problems += [f"left over {key}" for key in sorted(unused)]
    if problems:
        raise WeightsError(f"{path} does not fit: " + "; ".join(dict.fromkeys(problems)))
    network.load_state_dict({**own, **wanted}, strict=True)


def _finite(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same, a variance that float16 could not hold as the largest one that it can.

    An infinite variance would silence its channel in inference, and no later average would be finite.

    Raises:
        WeightsError: any other number is not finite.
    """
    found = dict(state)
    for key, value in state.items():
        if not value.is_floating_point() or bool(torch.isfinite(value).all()):
            continue
        if value.dtype == torch.float16 and key.endswith("running_var"):
            found[key] = value = value.clamp(max=torch.finfo(torch.float16).max)
        if not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{path}: {key} holds numbers that are not finite; fetch the file again")
    return found


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """A file's tensors by name, without the wrappings that are in use: `state_dict` and `module.`.

    Raises:
        WeightsError: no such file, another hash, or no file of tensors alone.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if sha256 is not None:
        found = hash_file(path)
        if len(sha256) < 8 or not found.startswith(sha256.lower()):
            raise WeightsError(f"{path}: its SHA-256 is {found}, not {sha256}")
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: holds no tensors that can be read safely: {reason}") from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: is no table of tensors by name")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _check_layout(network: LKAReID, path: Path, state: Mapping[str, Tensor], layout: Layout | None) -> None:
    if layout is None:
        return
    has_ibn = any(".IN." in key for key in state)
    if has_ibn != (layout == "resnet50-ibn-a"):
        raise WeightsError(f"{path}: its norms are {'IBN' if has_ibn else 'plain'}, which is not {layout}")
    if has_ibn and not network.config.ibn:
        raise WeightsError(f"{path}: has IBN norms, the network none; set network.ibn: true")
    if network.config.v1 != (layout == "resnet50-v1"):
        wanted = str(layout == "resnet50-v1").lower()
        raise WeightsError(f"{path}: weights of layout {layout} need network.v1: {wanted}")


def _source_key(key: str) -> str | None:
    if key.startswith("trunk."):
        return key.removeprefix("trunk.")
    if key.startswith("branches."):
        return "layer4." + key.split(".", 2)[2]
    return None


def _mixer(network: LKAReID, key: str) -> Mixer:
    return MIXERS.named(network.config.branches[int(key.split(".")[1])].mixer)


def _starts_silent(network: LKAReID, key: str) -> bool:
    return key.endswith(".bn3.weight") and not _mixer(network, key).pretrained


def _may_be_unused(network: LKAReID, key: str) -> bool:
    taken = any(MIXERS.named(branch.mixer).pretrained for branch in network.config.branches)
    mixed = key.startswith("layer4.") and ".conv2." in key
    return (mixed and not taken) or fnmatch.fnmatchcase(key, COUNTS)
