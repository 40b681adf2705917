"""Pretrained weights, loaded strictly."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.network import LKAReID


class WeightsError(Exception):
    """Weights that do not fit; the message lists the keys."""


def load_imagenet(network: LKAReID, path: Path) -> None:
    """Start a network from a plain ResNet-50 state dict (torchvision's key names, safetensors).

    Stages 1-3 go to the trunk; where that has IBN, the affine parameters and statistics of a norm are
    copied channel for channel into both halves. Stage 4 goes to every branch, its 3x3 convolutions only
    to `conv` mixers: other mixers, necks, classifiers and strips keep their own initialisation. A
    bottleneck whose mixer has no published weights starts as its shortcut and a constant (the scale of its
    last norm is zero): what its last convolution learned belongs behind another mixer.

    Raises:
        WeightsError: a key of the trunk or of stage 4 is missing, has another shape, or is left over.
    """
    source = {key: value.float() for key, value in load_file(path).items() if not key.startswith("fc.")}
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
            if part in name:
                name, half = name.replace(part, "."), first
        if key.startswith("branches.") and ".conv2." in key and _mixer(network, key) != "conv":
            continue
        if key.startswith("branches.") and (
            key.endswith("downsample.0.bias") or _starts_silent(network, key)
        ):
            wanted[key] = torch.zeros_like(value)
            used.add(name)
            continue
        if name not in source:
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
    unused = {key for key in source if key not in used and not _may_be_unused(key)}
    problems += [f"left over {key}" for key in sorted(unused)]
    if problems:
        raise WeightsError(f"{path} does not fit: " + "; ".join(problems))
    network.load_state_dict({**own, **wanted}, strict=True)


def _source_key(key: str) -> str | None:
    if key.startswith("trunk."):
        return key.removeprefix("trunk.")
    if key.startswith("branches."):
        return "layer4." + key.split(".", 2)[2]
    return None


def _mixer(network: LKAReID, key: str) -> str:
    return network.config.branches[int(key.split(".")[1])].mixer


def _starts_silent(network: LKAReID, key: str) -> bool:
    return key.endswith(".bn3.weight") and _mixer(network, key) != "conv"


def _may_be_unused(key: str) -> bool:
    return (key.startswith("layer4.") and ".conv2." in key) or key.endswith("num_batches_tracked")
